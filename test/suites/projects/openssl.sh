# shellcheck shell=bash
# "make test" of openssl, built as its source says, without assembler.
about="OpenSSL's make test; without handshakes of all kinds and fuzzing unless --full"
needs=(gcc=gcc make=make perl=perl)
from=openssl

prepare() {
  ./Configure linux-x86_64 no-asm no-shared no-dtls1-method no-legacy -O1 -w >/dev/null
  make -s -j "$jobs" build_sw >/dev/null
}

tests() {
  local selection='alltests -test_ssl_new -test_ssl_old -test_fuzz* -test_cms
    -test_gen* -test_cmp* -test_sslsig* -test_req -test_ca -test_key_share
    -test_speed -test_tsa -test_verify -test_tls13*'
  case $size in
    short) selection='test_bn test_evp test_lhash test_sparse_array test_threads' ;;
    full) selection=alltests ;;
  esac
  make -s test HARNESS_JOBS="$jobs" TESTS="${selection//$'\n'/ }" || :
}

outcomes() { harness_outcomes; }
