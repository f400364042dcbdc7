-- Health of a RayService for Argo CD. The same rule as healthcheckexprs.yaml and rayops (README.md beside this file).
-- Argo CD gives health scripts the base and the table library, and no string library.

local function get(value, ...)
  for _, key in ipairs({...}) do
    if type(value) ~= 'table' then return nil end
    value = value[key]
  end
  return value
end

local function condition(object, wanted)
  for _, found in ipairs(get(object, 'conditions') or {}) do
    if found.type == wanted then return found end
  end
  return {}
end

-- Why a head is not ready: the words of the condition, or where it has none, its reason.
local function why(head)
  local text = head.message
  if not text or text == '' then text = head.reason or '' end
  return text ~= '' and ': the head is not ready (' .. text .. ')' or ''
end

local function health(status, message)
  return {status = status, message = message}
end

local function names(map)
  local sorted = {}
  for name in pairs(map or {}) do table.insert(sorted, name) end
  table.sort(sorted)
  return sorted
end

local FAILED = {DEPLOY_FAILED = true, UNHEALTHY = true}

-- The states in which the applications' statuses mean nothing.
local function special()
  if get(obj, 'metadata', 'deletionTimestamp') then return health('Progressing', 'being deleted') end
  if get(obj, 'spec', 'rayClusterConfig', 'suspend') then return health('Suspended', 'the RayService is suspended') end
  local ready = condition(obj.status, 'Ready')
  local observed = get(obj, 'status', 'observedGeneration') or 0
  -- A refusal leaves observedGeneration as it was. Once a newer generation was seen, the reason is only a leftover.
  if ready.reason == 'ValidationFailed' and (ready.observedGeneration or 0) >= observed then
    return health('Degraded', 'the operator refuses the spec: ' .. (ready.message or ''))
  end
  if ready.reason == 'InitializingTimeout' then
    return health('Degraded', 'final, must be deleted and made again: ' .. (ready.message or ''))
  end
  local wanted = get(obj, 'metadata', 'generation') or 0
  if observed ~= wanted then
    return health('Progressing', 'generation ' .. tostring(wanted) ..
      ' is not yet seen by the operator (last seen: ' .. tostring(observed) .. ')')
  end
  if condition(obj.status, 'RollbackInProgress').status == 'True' then
    return health('Progressing', 'rolling back to the cluster that served before')
  end
end

-- The cluster that is to serve: while there is a pending one, only its applications are reported.
local function side()
  local pending = get(obj, 'status', 'pendingServiceStatus', 'rayClusterName')
  if pending and pending ~= '' then return obj.status.pendingServiceStatus end
  return get(obj, 'status', 'activeServiceStatus') or {}
end

local function of_application(name, app)
  local failed, updating = FAILED[app.status] or false, app.status ~= 'RUNNING'
  local text = {}
  if app.message and app.message ~= '' then table.insert(text, app.message) end
  for _, deployment in ipairs(names(app.serveDeploymentStatuses)) do
    local told = app.serveDeploymentStatuses[deployment]
    local bad = FAILED[told.status] or false
    if bad or told.status == 'UPDATING' then
      table.insert(text, deployment .. ': ' .. (told.message ~= '' and told.message or told.status))
    end
    failed, updating = failed or bad, updating or told.status == 'UPDATING'
  end
  if not (failed or updating) then return nil end
  local message = 'application ' .. name .. ' ' .. (app.status or '')
  if #text > 0 then message = message .. ': ' .. table.concat(text, '; ') end
  return health(failed and 'Degraded' or 'Progressing', message)
end

local function without_applications(cluster)
  if (cluster.rayClusterName or '') == '' then
    return health('Progressing', 'the operator has not yet made a RayCluster')
  end
  -- The copy of the cluster's status is from before, until there are applications to report.
  local head = condition(cluster.rayClusterStatus, 'HeadPodReady')
  if head.status ~= 'True' then return health('Progressing', 'no application is reported' .. why(head)) end
  return health('Progressing', 'no application is deployed yet')
end

local function of_applications(cluster)
  local first
  for _, name in ipairs(names(cluster.applicationStatuses)) do
    local found = of_application(name, cluster.applicationStatuses[name])
    if found and found.status == 'Degraded' then return found end
    first = first or found
  end
  if next(cluster.applicationStatuses or {}) == nil then return without_applications(cluster) end
  return first
end

local function of_traffic(cluster)
  local head = condition(cluster.rayClusterStatus, 'HeadPodReady')
  if (head.status or 'True') ~= 'True' then
    return health('Progressing', 'the statuses may be old' .. why(head))
  end
  local ready = condition(obj.status, 'Ready')
  if ready.status ~= 'True' then
    local text = ready.reason ~= 'ValidationFailed' and ready.message or ''
    return health('Progressing', text ~= '' and text or 'no endpoint is ready')
  end
  if condition(obj.status, 'UpgradeInProgress').status == 'True' then
    return health('Progressing', 'the new cluster is ready, traffic moves')
  end
  return health('Healthy', 'every application is RUNNING and the serve Service has endpoints')
end

local decided = special()
if decided then return decided end
local cluster = side()
local verdict = of_applications(cluster)
if verdict and condition(obj.status, 'UpgradeInProgress').status == 'True' then
  verdict.message = 'upgrade to cluster ' .. (cluster.rayClusterName or '') .. ': ' .. verdict.message
end
return verdict or of_traffic(cluster)
