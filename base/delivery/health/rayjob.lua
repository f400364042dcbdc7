-- Health of a RayJob for Argo CD. The same rule as healthcheckexprs.yaml and rayops (README.md beside this file).
-- Argo CD gives health scripts the base and the table library, and no string library.

local status = obj.status or {}
local state, job = status.jobDeploymentStatus or '', status.jobStatus or ''

local function health(code, message)
  return {status = code, message = message}
end

local function why()
  return (status.reason or '') .. ': ' .. (status.message or '')
end

local SUSPENDED = {
  Suspended = 'the RayJob is suspended',
  Waiting = 'it waits until somebody submits the job',
}

if (obj.metadata or {}).deletionTimestamp then return health('Progressing', 'being deleted') end
if state == 'ValidationFailed' then
  return health('Degraded', 'final, must be deleted and made again: ' .. (status.message or ''))
end
if state == 'Failed' then return health('Degraded', 'the job failed: ' .. why()) end
if state == 'Complete' and job == 'SUCCEEDED' then return health('Healthy', 'the job succeeded') end
if state == 'Complete' then return health('Degraded', 'the job ended ' .. job .. ': ' .. (status.message or '')) end
if SUSPENDED[state] then return health('Suspended', SUSPENDED[state]) end
if state == 'Retrying' then return health('Progressing', 'it failed and is tried again: ' .. why()) end
if state == '' then return health('Progressing', 'the operator has not yet begun') end
return health('Progressing', 'the job is ' .. state .. (job ~= '' and ', ' .. job or ''))
