# shellcheck shell=bash
# Debian has none of Lua's own tests but the programs of Lua 5.1.  With them go
# the tests of lpeg, whose author is Lua's, in the installed Lua 5.4.
about="lpeg's test.lua, in the installed Lua"
needs=(lua5.4=lua5.4 /usr/share/lua/5.4/re.lua=lua-lpeg)
from=lua-lpeg

tests() {
  if lua5.4 test.lua; then echo 'passed lpeg'; else echo 'failed lpeg'; fi
}

outcomes() {
  grep -E '^(passed|failed) lpeg$'
}
