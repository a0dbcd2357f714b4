# shellcheck shell=bash
# The installed tests of GLib: those of GLib itself and of GObject, and of GIO what
# has to do with threads and memory.
about="GLib's installed tests: all of glib and gobject, threads of gio"
needs=(/usr/libexec/installed-tests/glib/slice=libglib2.0-tests)

folder=/usr/libexec/installed-tests/glib

tests() {
  export G_TEST_SRCDIR=$folder G_TEST_BUILDDIR=$folder
  # Most of them wait more than they work.
  # shellcheck disable=SC2016
  pick | xargs -P "$((jobs * 4))" -I {} sh -c '
    command=$(sed -n s/^Exec=//p "/usr/share/installed-tests/glib/$1.test")
    cd "$HOME"
    timeout 120 $command --tap >"$OLDPWD/$1.tap" 2>&1 ||
      echo "not ok - status $?" >>"$OLDPWD/$1.tap"' - {}
}

pick() {
  local test
  for test in /usr/share/installed-tests/glib/*.test; do
    test=${test##*/}
    test=${test%.test}
    case $test in
      # Need a desktop, a session bus, a network, a compiler, or minutes.
      *dbus* | *portal* | appinfo* | desktop-* | *notification* | *monitor* | \
        *-slow* | mimeapps* | live-g-file* | *launch* | *.py | performance* | \
        *static-link*) continue ;;
    esac
    [[ $size != short || $test == slice* || $test == *thread* ]] || continue
    echo "$test"
  done
}

outcomes() {
  gawk 'FNR == 1 { test = FILENAME; gsub(/tree\/|\.tap$/, "", test) }
    /^(ok|not ok)/ {
      outcome = /^not ok/ ? "failed" : /# SKIP/ ? "skipped" : "passed"
      if (/# TODO/) outcome = "passed"
      sub(/^(not )?ok [0-9 -]*/, ""); sub(/ *#.*/, ""); sub(/seed:[0-9]+/, "seed")
      print outcome, test " " $0
    }' tree/*.tap
}
