# Objects, hashes and strings. objects.rb ROUNDS
Node = Struct.new(:key, :children)

def tree(depth, key)
  Node.new("node#{key}", depth.zero? ? [] : (0..2).map { |n| tree(depth - 1, 3 * key + n) })
end

def count(node)
  1 + node.children.sum { |child| count(child) }
end

Integer(ARGV[0]).times do |round|
  raise 'tree' unless count(tree(7, 1)) == 3280
  table = {}
  20_000.times { |n| table["key #{n} of round #{round}"] = [n, 'x' * (n % 200), { n => n }] }
  table.delete_if { |_, value| value[0].odd? }
  raise 'table' unless table.size == 10_000
  lines = table.map { |key, value| "#{key}:#{value[0]}:#{value[1]}" }
  parts = lines.flat_map { |line| line.split(':') }
  raise 'parts' unless parts.size >= 20_000
  parts.map(&:upcase).sort.uniq
end
