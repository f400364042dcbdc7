-- Health of a RayCluster for Argo CD. The same rule as healthcheckexprs.yaml and rayops (README.md beside this file).
-- Argo CD gives health scripts the base and the table library, and no string library.

local spec, status = obj.spec or {}, obj.status or {}

local function condition(wanted)
  for _, found in ipairs(status.conditions or {}) do
    if found.type == wanted then return found end
  end
  return {}
end

-- The words of a condition, or where it has none, its reason.
local function told(wanted)
  local found = condition(wanted)
  if found.message and found.message ~= '' then return found.message end
  return found.reason or ''
end

local function is_true(wanted)
  return condition(wanted).status == 'True'
end

local function health(code, message)
  return {status = code, message = message}
end

if (obj.metadata or {}).deletionTimestamp then return health('Progressing', 'being deleted') end
-- Removing `suspend` from the spec does not resume it.
if is_true('RayClusterSuspended') then
  return health('Suspended', 'the RayCluster is suspended until its spec says suspend: false')
end
if spec.suspend then return health('Progressing', 'suspending: the pods are being deleted') end
if is_true('ReplicaFailure') then
  return health('Degraded', 'a pod cannot be made or deleted: ' .. told('ReplicaFailure'))
end
-- Provisioned stays True for ever once all pods were ready; the conditions after it tell what is lost since.
if not is_true('RayClusterProvisioned') then
  return health('Progressing', 'not yet provisioned: ' .. told('HeadPodReady'))
end
if not is_true('HeadPodReady') then
  return health('Progressing', 'the head is not ready: ' .. told('HeadPodReady'))
end
-- An autoscaler that waits for a node is at work, not broken: only the minimum is asked for.
local wanted = status.desiredWorkerReplicas or 0
if spec.enableInTreeAutoscaling then wanted = status.minWorkerReplicas or 0 end
local ready = status.readyWorkerReplicas or 0
if ready < wanted then
  return health('Progressing', tostring(ready) .. ' of ' .. tostring(wanted) .. ' worker pods are ready')
end
return health('Healthy', 'the head and ' .. tostring(ready) .. ' worker pods are ready')
