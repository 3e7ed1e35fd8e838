-- Pipelining for wrk: each write carries as many requests as the first argument says.
function init(args)
    local one = wrk.format()
    local all = {}
    for i = 1, tonumber(args[1]) do
        all[i] = one
    end
    batch = table.concat(all)
end

function request()
    return batch
end
