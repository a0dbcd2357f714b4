-- Tables, closures and strings. tables.lua ROUNDS
local function tree(depth)
  if depth == 0 then return {} end
  return {tree(depth - 1), tree(depth - 1)}
end

local function count(node)
  if not node[1] then return 1 end
  return 1 + count(node[1]) + count(node[2])
end

for round = 1, tonumber(arg[1]) do
  assert(count(tree(14)) == 32767)
  local table_, parts = {}, {}
  for n = 1, 20000 do
    table_["key " .. n] = {number = n, add = function(m) return n + m end}
  end
  for n = 1, 20000, 2 do table_["key " .. n] = nil end
  for key, value in pairs(table_) do
    parts[#parts + 1] = key .. "=" .. value.add(1)
  end
  assert(#parts == 10000)
  local text = table.concat(parts, ";")
  local words = 0
  for _ in text:gmatch("[^;]+") do words = words + 1 end
  assert(words == 10000)
end
