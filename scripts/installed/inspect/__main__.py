"""python3 -IB inspect COMMAND...: aomalloc top, report, what and map."""

import sys

from aomalloc import command

sys.exit(command.main(sys.argv[1:]))
