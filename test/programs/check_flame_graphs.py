"""check_flame_graphs.py PICTURE: does an SVG say what profile_test wants it to?"""

import sys
import xml.etree.ElementTree

root = xml.etree.ElementTree.parse(sys.argv[1]).getroot()
assert root.tag.endswith("svg"), root.tag
titles = [e.text for e in root.iter() if e.tag.endswith("title")]
for words in ("all (", "profiled (process", "main (", "leak_small (", "leak_large (", "churn ("):
    assert any(title.startswith(words) for title in titles), (words, titles)
assert not any("aomalloc" in title for title in titles), titles
