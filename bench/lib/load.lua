-- wrk script: args are the workload, the file of tokens (one line per user),
-- a number that makes this run's titles its own, a path for "get" and "post",
-- and a body for "post".
--
-- Requests are pieced together from parts made in init(), so that the load
-- generator, which shares the cores, costs little.

local threads = 0
function setup(thread)
    threads = threads + 1
    thread:set("thread_no", threads)
end

local USERS = 50
local FORMAT = "01990000-0000-7000-%s000-%012d"
local random = math.random
local heads, tokens = {}, {}
local count = 0
local run, path, body

local function head(user, extra)
    return "\r\nAuthorization: Bearer " .. tokens[user] .. "\r\n" ..
        (extra or "") .. "\r\n"
end

-- A number of one of a user's notes, and the user.
local function some_note()
    local user = random(USERS)
    return 10 * user * (user - 1) + random(20 * user), user
end

local function words(bytes)
    local first = { "ba", "co", "di", "fu", "ge", "ha", "jo", "ki", "lu" }
    local last = { "lan", "mir", "nor", "pel", "ran", "sim", "tor", "vel" }
    local parts, size = {}, 0
    while size <= bytes do
        local word = first[random(#first)] .. last[random(#last)]
            .. first[random(#first)]
        parts[#parts + 1] = word
        size = size + #word + 1
    end
    return table.concat(parts, " "):sub(1, bytes)
end

local makers = {}

-- GET of one fixed path, with the token of the last user in the file.
function makers.get()
    local text = "GET " .. path .. " HTTP/1.1\r\nHost: localhost" ..
        head(#tokens)
    return function() return text end
end

local function post(to, user, text)
    return "POST " .. to .. " HTTP/1.1\r\nHost: localhost" .. head(user,
        "Content-Type: application/json\r\nContent-Length: " .. #text ..
        "\r\n") .. text
end

-- The same of somebody without a token.
function makers.anonymous()
    local text = "GET " .. path .. " HTTP/1.1\r\nHost: localhost\r\n\r\n"
    return function() return text end
end

-- POST of one body, with the token of that user.
function makers.post()
    local text = post(path, #tokens, body)
    return function() return text end
end

-- GET of one note out of all.
function makers.note()
    for user = 1, USERS do
        heads[user] = " HTTP/1.1\r\nHost: localhost" .. head(user)
    end
    return function()
        local note, user = some_note()
        return "GET /api/v1/notes/" .. FORMAT:format("8", note) .. heads[user]
    end
end

-- The first page of twenty of some user, asked with the given path.
function makers.list()
    for user = 1, USERS do
        heads[user] = "GET " .. path .. " HTTP/1.1\r\nHost: localhost" ..
            head(user)
    end
    return function() return heads[random(USERS)] end
end

-- One and the same note of a user.
function makers.keptNote(extra)
    for user = 1, USERS do
        heads[user] = "GET /api/v1/notes/" ..
            FORMAT:format("8", 10 * user * (user - 1) + 1) ..
            " HTTP/1.1\r\nHost: localhost" .. head(user, extra)
    end
    return function() return heads[random(USERS)] end
end

-- The same by somebody who has it.
function makers.unchanged()
    return makers.keptNote('If-None-Match: "v1"\r\n')
end

-- A new note of 1 KB in the user's folder.
function makers.create()
    local before, after = {}, {}
    for user = 1, USERS do
        local body = '","content":"<p>' .. words(1000) .. '</p>",' ..
            '"folderId":"' .. FORMAT:format("b", user) ..
            '","tags":["bench","load"]}'
        local start = '{"title":"Created ' .. run .. "."
        before[user] = "POST /api/v1/notes HTTP/1.1\r\nHost: localhost" ..
            head(user, "Content-Type: application/json\r\n" ..
            "Content-Length: " .. (#start + 10 + #body) .. "\r\n") .. start
        after[user] = body
    end
    return function()
        count = count + 1
        local user = random(USERS)
        return before[user] .. ("%010d"):format(count) .. after[user]
    end
end

-- New title and content for a note that is there.
function makers.update()
    local after = {}
    for user = 1, USERS do
        local body = '","content":"<p>' .. words(1000) .. '</p>"}'
        local start = '{"title":"Updated ' .. run .. "."
        heads[user] = " HTTP/1.1\r\nHost: localhost" ..
            head(user, "Content-Type: application/json\r\n" ..
            "Content-Length: " .. (#start + 10 + #body) .. "\r\n") .. start
        after[user] = body
    end
    return function()
        count = count + 1
        local note, user = some_note()
        return "PUT /api/v1/notes/" .. FORMAT:format("8", note) ..
            heads[user] .. ("%010d"):format(count) .. after[user]
    end
end

-- The first users have fewer notes than a page or a push of sync.
local SYNCERS, SYNCED = 5, 100

-- The first page of sync, for one of four devices of some user.
function makers.pull()
    local texts = {}
    for user = SYNCERS, USERS do
        for device = 1, 4 do
            texts[#texts + 1] = post("/api/v1/sync/pull", user,
                '{"deviceId":"device-' .. device .. '","limit":' ..
                SYNCED .. "}")
        end
    end
    return function() return texts[random(#texts)] end
end

-- New titles and contents for a hundred notes of one user. The users take
-- turns, each in one thread: no two pushes of a user are under way at a time,
-- which the servers under comparison would not survive.
function makers.push()
    local texts, turn = {}, 0
    for i = 1, SYNCED do
        texts[i] = " " .. words(989) .. '</p>"}'
    end
    local start = '","updatedAt":"2100-01-01T00:00:00Z","title":"Pushed ' ..
        run .. "."
    return function()
        count = count + 1
        turn = (turn + 1) % ((USERS - SYNCERS + 1) / 2)
        local user = SYNCERS + 2 * turn + thread_no - 1
        local first = 10 * user * (user - 1) + random(0, 20 * user - SYNCED)
        local mark = ("%010d"):format(count)
        local parts = { '{"deviceId":"device-' .. random(4) .. '","notes":[' }
        for i = 1, SYNCED do
            parts[#parts + 1] = (i > 1 and ',{"id":"' or '{"id":"') ..
                FORMAT:format("8", first + i) .. start .. mark ..
                '","content":"<p>' .. mark .. texts[i]
        end
        parts[#parts + 1] = "]}"
        return post("/api/v1/sync/push", user, table.concat(parts))
    end
end

-- wrk itself prints no 95th percentile.
function done(summary, latency)
    io.write(("p95 %d us\n"):format(latency:percentile(95)))
end

function init(args)
    for line in io.lines(args[2]) do tokens[#tokens + 1] = line end
    run = args[3] .. "." .. thread_no
    path, body = args[4], args[5]
    math.randomseed(thread_no * 7919 + tonumber(args[3]))
    request = makers[args[1]]()
end
