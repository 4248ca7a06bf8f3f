-- Asks Doorward whether a request may go on, in the manner of Traefik's ForwardAuth. For HAProxy 2.6 and later.
--
-- Only Doorward's 200 lets a request through. Whatever goes wrong, nothing goes on.

local QUESTION = "http://127.0.0.1:8000/auth/traefik"
local TIMEOUT = 5000 -- milliseconds

-- Each identity header is Doorward's, or not there at all. Never leave one out.
local IDENTITY = { "x-user", "x-user-id", "x-user-roles", "x-user-email" }

-- What Doorward needs for its decision, beside the original request's method, scheme, host and path.
local ASKED_WITH = {
  "accept", "access-control-request-method", "authorization", "cookie", "origin", "sec-fetch-mode", "sec-fetch-site",
  "sec-websocket-key", "sec-websocket-version", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-requested-with",
}

-- What is the connection's own, and not passed on with Doorward's refusal.
local OF_THE_CONNECTION = {
  ["connection"] = true, ["content-length"] = true, ["keep-alive"] = true, ["transfer-encoding"] = true,
}

-- HAProxy numbers the values of a header from 0.
local function values(headers, name)
  local list = {}
  local held = headers[name]
  local index = 0
  while held and held[index] do
    table.insert(list, held[index])
    index = index + 1
  end
  return list
end

local function refuse(txn, status, headers, body)
  local reply = txn:reply { status = status }
  for name, _ in pairs(headers) do
    if not OF_THE_CONNECTION[name] then
      for _, value in ipairs(values(headers, name)) do
        reply:add_header(name, value)
      end
    end
  end
  reply:set_body(body)
  txn:done(reply)
end

core.register_action("ask_doorward", { "http-req" }, function(txn)
  local received = txn.http:req_get_headers()
  local headers = {}
  for _, name in ipairs(ASKED_WITH) do
    local list = values(received, name)
    if #list > 0 then
      headers[name] = list
    end
  end
  headers["x-forwarded-method"] = { txn.sf:method() }
  headers["x-forwarded-uri"] = { txn.sf:pathq() }

  local asked, answer = pcall(function()
    return core.httpclient():get { url = QUESTION, headers = headers, timeout = TIMEOUT }
  end)
  if not asked or not answer or not answer.status or answer.status < 200 then
    return refuse(txn, 503, {}, "")
  end
  if answer.status ~= 200 then
    return refuse(txn, answer.status, answer.headers or {}, answer.body or "")
  end

  for _, name in ipairs(IDENTITY) do
    local value = values(answer.headers, name)[1]
    if value and value ~= "" then
      txn.http:req_set_header(name, value)
    else
      txn.http:req_del_header(name)
    end
  end
  local renewed = values(answer.headers, "set-cookie")[1]
  if renewed then
    txn:set_var("txn.renewed", renewed)
  end
end)
