-- Copies an account with imapfilter: IMAP_HOST, IMAP_PORT, IMAP_USER, IMAP_PASSWORD and COPY_DIR in the environment.
--
-- Appends what is new since the last run to COPY_DIR/records (test/lib/clients/records.ts says how; mailbox names in UTF-8), and keeps the highest UID
-- of each mailbox in COPY_DIR/state. imapfilter reads header and text of a message apart, one message per command; flags come from
-- one SEARCH for each flag.
options.info = false
options.cache = false
options.timeout = 120
options.starttls = false

local dir = os.getenv('COPY_DIR')
account = IMAP {
    server = os.getenv('IMAP_HOST'),
    port = tonumber(os.getenv('IMAP_PORT')),
    username = os.getenv('IMAP_USER'),
    password = os.getenv('IMAP_PASSWORD'),
}

local state = {}
local known = io.open(dir .. '/state', 'r')
if known then
    for line in known:lines() do
        local name, last = line:match('^(.*)\t(%d+)$')
        state[name] = tonumber(last)
    end
    known:close()
end

local out = assert(io.open(dir .. '/records', 'ab'))

local function only(results)
    local _, value = next(results or {})
    return value
end

-- Flags that are asked for, and the search key of each.
local KEYS = {
    ['\\Seen'] = 'SEEN', ['\\Answered'] = 'ANSWERED', ['\\Flagged'] = 'FLAGGED', ['\\Draft'] = 'DRAFT',
    invoice = 'KEYWORD invoice', ['project-a'] = 'KEYWORD project-a', ['$Forwarded'] = 'KEYWORD $Forwarded',
}

local function flags_of(mailbox, range)
    local flags = {}
    for flag, key in pairs(KEYS) do
        for _, found in ipairs(mailbox:send_query('UID ' .. range .. ' ' .. key)) do
            flags[found[2]] = (flags[found[2]] or '') .. ' ' .. flag
        end
    end
    return flags
end

local function copy(name)
    local mailbox = account[name]
    local highest = state[name] or 0
    local range = (highest + 1) .. ':*'
    if not state[name] then out:write(name, '\t0\t\t\t0\n\n') end
    local new = mailbox:send_query('UID ' .. range)
    local flags = flags_of(mailbox, range)
    for _, found in ipairs(new) do
        local uid = found[2]
        -- n:* names the last message even when its UID is lower.
        if uid > highest then
            local body = only(mailbox:fetch_message({ found })) or error(name .. ' ' .. uid .. ': no message')
            out:write(name, '\t', uid, '\t', flags[uid] or '', '\t\t', #body, '\n', body, '\n')
            highest = uid
        end
    end
    state[name] = highest
end

local mailboxes = account:list_all('', '*')
for _, name in ipairs(mailboxes) do copy(name) end
out:close()

local kept = assert(io.open(dir .. '/state', 'w'))
for name, last in pairs(state) do kept:write(name, '\t', last, '\n') end
kept:close()
