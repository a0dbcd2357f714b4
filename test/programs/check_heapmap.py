"""check_heapmap.py PICTURE: does an SVG say what heapmap_test wants it to?"""

import sys
import xml.etree.ElementTree

root = xml.etree.ElementTree.parse(sys.argv[1]).getroot()
assert root.tag.endswith("svg"), root.tag
images = [e for e in root.iter() if e.tag.endswith("image")]
assert images, "no map"
# Text is drawn as shapes; its words are in comments.
text = open(sys.argv[1], encoding="utf-8").read()
for words in ("The heap of process", "slab of 1 KiB blocks", "spans: large blocks: 3",
              "arena at 0x", "classes, by bytes in use"):
    assert words in text, words
