# Counts words and pairs of words.
{
  for (n = 1; n <= NF; ++n) {
    ++count[$n]
    if (n > 1) ++pairs[$(n - 1) " " $n]
    line = line substr($n, 1, 1)
  }
  if (NR % 1000 == 0) line = ""
}
END {
  for (word in count) ++words
  for (pair in pairs) { ++kinds; split(pair, part, " "); lengths += length(part[1]) }
  if (words < 1000 || kinds < 1000) exit 1
}
