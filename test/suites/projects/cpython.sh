# shellcheck shell=bash
# CPython's regression tests, as Debian packages them, in the installed python3.
about="python3 -m test"
needs=(python3=python3 /usr/lib/python3.11/test/test_json=libpython3.11-testsuite)

# What takes longest, and says least of malloc.
slow=(test_asyncio test_capi test_compileall test_concurrent_futures test_cppext
  test_distutils test_ensurepip test_gdb test_imaplib test_io test_lib2to3
  test_multiprocessing_fork test_multiprocessing_forkserver
  test_multiprocessing_spawn test_nntplib test_peg_generator test_pydoc
  test_regrtest test_select test_signal test_smtpnet test_socket test_ssl
  test_subprocess test_tarfile test_timeout test_tools test_trace
  test_unparse test_urllib2_localnet test_venv test_weakref test_xmlrpc
  test_zipfile test_zipfile64)

tests() {
  local options=(-j "$jobs" --timeout 300 --junit-xml results.xml) resources
  resources=all,-network,-urlfetch,-gui,-audio
  case $size in
    full) options+=(-u "$resources") ;;
    usual) options+=(-u "$resources,-largefile,-cpu" -x "${slow[@]}") ;;
    short) # Nothing that depends on the time.
      options+=(test_json test_ctypes test_mmap test_memoryio test_bytes test_gc
        test_threadedtempfile test_zlib test_buffer)
      ;;
  esac
  python3 -m test "${options[@]}"
}

# Cases, and files with their own line in the log.
outcomes() {
  sed -nE 's/.*\[ *[0-9]+\/[0-9]+[^]]*\] (test[a-z0-9_.]+) (passed|failed|crashed|skipped|timed).*/\2 \1/p
      s/.*\[ *[0-9]+\/[0-9]+[^]]*\] (test[a-z0-9_.]+)( \(.*| *)$/passed \1/p' |
    sed -E 's/^(crashed|timed) /failed /'
  [[ -e tree/results.xml ]] || return 0
  /usr/bin/python3 -I -c '
import xml.etree.ElementTree
for case in xml.etree.ElementTree.parse("tree/results.xml").getroot().iter("testcase"):
    outcome = "passed"
    if case.find("failure") is not None or case.find("error") is not None:
        outcome = "failed"
    elif case.find("skipped") is not None:
        outcome = "skipped"
    print(outcome, case.get("name").replace("\n", " "))
'
}
