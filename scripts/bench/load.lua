-- What wrk sends, and what came of it as one line of JSON at the end of its output.
--
--   wrk -t1 -c8 -d9 -s load.lua URL -- agents SECONDS ROLE EVENTS ORDER [TOKEN]
--   wrk -t1 -c16 -d9 -s load.lua URL -- post SECONDS PATH BODY_FILE [TOKEN]
--
-- agents: as many agents as connections, each of them claims a task, reports EVENTS events and
-- moves it on with the trigger "complete". ORDER is "causal" (what follows an answer is sent when
-- that answer is here) or "together" (events and transition are queued side by side, so that over
-- several connections a transition may arrive before its event).
-- post: the same document again and again.
--
-- Only answers within SECONDS are counted, which begin LEAD_US after the first request, when all
-- connections are at work. What is open then is brought to its end uncounted, so that no task
-- stays leased. One thread (-t1) only: each has a state of its own.

local ffi = require("ffi")
ffi.cdef [[
  struct bench_time { long seconds; long microseconds; };
  int gettimeofday(struct bench_time *time, void *zone);
  int getpid(void);
  int kill(int pid, int signal);
]]
local SIGINT = 2
local LEAD_US = 20000
local time = ffi.new("struct bench_time")

local function now_us()
  ffi.C.gettimeofday(time, nil)
  return tonumber(time.seconds) * 1000000 + tonumber(time.microseconds)
end

-- Global, because done() asks the thread for it by name.
report = ""

local workers = {}
local times, errors = {}, {}
local empty, taken, window_us = 0, 0, 0
local job, role, events, order, path, body, token
local begun_us
local sent = {}
local number = 0
local following = {}
local first, last = 1, 0
local open_loops = 0
local is_tried = false
local is_stopped = false

function setup(thread)
  table.insert(workers, thread)
end

function init(arguments)
  job = arguments[1]
  window_us = tonumber(arguments[2]) * 1000000
  if job == "agents" then
    role, events, order, token = arguments[3], tonumber(arguments[4]), arguments[5], arguments[6]
    body = '{"agent_id":"bench","agent_role":"' .. role .. '","lease_ttl_ms":600000}'
  else
    path, token = arguments[3], arguments[5]
    local file = assert(io.open(arguments[4], "rb"))
    body = file:read("*a")
    file:close()
  end
end

local function follow(step)
  last = last + 1
  following[last] = step
end

-- The id comes back with the answer, which otherwise would not tell what it answers.
local function written(step)
  number = number + 1
  local id = "b" .. number
  step.sent_us = now_us()
  sent[id] = step
  local headers = { ["X-Request-Id"] = id, ["Content-Type"] = "application/json" }
  if step.token then headers["Authorization"] = "Bearer " .. step.token end
  return wrk.format(step.method or "POST", step.path, headers, step.body)
end

local function is_over()
  return begun_us ~= nil and now_us() >= begun_us + window_us
end

function request()
  if not is_tried then
    -- wrk asks once to see whether it understands the script, and sends nothing.
    is_tried = true
    return wrk.format("GET", "/ready")
  end
  begun_us = begun_us or now_us() + LEAD_US
  if first <= last then
    local step = following[first]
    following[first] = nil
    first = first + 1
    return written(step)
  end
  if is_over() then
    -- Another connection is still at its last task: keep this one busy with next to nothing.
    return written({ kind = "rest", method = "GET", path = "/ready" })
  end
  if job == "agents" then
    open_loops = open_loops + 1
    return written({ kind = "claim", path = "/leases/claim", body = body, token = token })
  end
  return written({ kind = "post", path = path, body = body, token = token })
end

local function event_step(run)
  return { kind = "event", path = "/runs/" .. run.id .. "/events", token = run.token, run = run,
           body = '{"kind":"progress","data":{"note":"half of it is done"}}' }
end

local function transition_step(run)
  return { kind = "transition", path = "/runs/" .. run.id .. "/transition", token = run.token,
           run = run, body = '{"trigger":"complete","usage":{"tokens":12}}' }
end

local function go_on(run)
  if run.events_left > 0 then
    run.events_left = run.events_left - 1
    follow(event_step(run))
  else
    follow(transition_step(run))
  end
end

local function claimed(answer)
  taken = taken + 1
  local run = { id = answer:match('"run":%s*{%s*"id":%s*"([^"]+)"'),
                token = answer:match('"lease_token":%s*"([^"]+)"'), events_left = events }
  if order == "together" then
    while run.events_left > 0 do go_on(run) end
    follow(transition_step(run))
  else
    go_on(run)
  end
end

local wanted = { claim = 200, event = 201, transition = 200, post = 201, rest = 200 }

local function count(step, status)
  if step.kind == "rest" then return end
  if status == 204 and step.kind == "claim" then
    empty = empty + 1
  elseif status ~= wanted[step.kind] then
    local name = step.kind .. " " .. status
    errors[name] = (errors[name] or 0) + 1
  elseif now_us() >= begun_us and not is_over() then
    local list = times[step.kind] or {}
    times[step.kind] = list
    list[#list + 1] = now_us() - step.sent_us
  end
end

local function numbers(list) return "[" .. table.concat(list, ",") .. "]" end

local function object(map, show)
  local parts = {}
  for name, value in pairs(map) do parts[#parts + 1] = '"' .. name .. '":' .. show(value) end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function stop()
  is_stopped = true
  report = string.format('"seconds":%.6f,"taken":%d,"empty":%d,"errors":%s,"times_us":%s',
    window_us / 1000000, taken, empty, object(errors, tostring), object(times, numbers))
  wrk.thread:stop()
  -- wrk itself sleeps for its -d, in whole seconds; this ends the sleep as Control-C would.
  ffi.C.kill(ffi.C.getpid(), SIGINT)
end

function response(status, headers, answer)
  local id = headers["X-Request-Id"] or headers["x-request-id"]
  local step = sent[id]
  sent[id] = nil
  count(step, status)
  if step.kind == "claim" and status == 200 then
    claimed(answer)
  elseif step.kind == "claim" or step.kind == "transition" then
    open_loops = open_loops - 1
  elseif step.kind == "event" and order == "causal" then
    go_on(step.run)
  end
  if not is_stopped and is_over() and open_loops == 0 then stop() end
end

function done(summary)
  local failed = summary.errors
  io.write(string.format('{"socket_errors":%d,%s}\n',
    failed.connect + failed.read + failed.write + failed.timeout, workers[1]:get("report")))
end
