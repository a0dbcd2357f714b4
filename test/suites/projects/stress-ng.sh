# shellcheck shell=bash
# stress-ng: the stressors that allocate, each for a time, with its own checks on
# what it reads back.
about="stress-ng's stressors of malloc and of memory, with their checks on"
needs=(stress-ng=stress-ng)

tests() {
  local seconds=1 stressor status
  [[ $size != full ]] || seconds=60
  local stressors=(malloc brk bsearch context fork funccall heapsort hsearch
    list lsearch madvise mcontend membarrier memcpy memfd memrate memthrash mergesort
    mlock mmap mmapaddr mmapfixed mmapfork mmaphuge mmapmany mprotect mremap pthread
    qsort radixsort shellsort shm sigsegv skiplist stack stackmmap
    str stream tree tsearch vm vm-addr vm-rw vm-segv wcs zlib)
  [[ $size != short ]] || stressors=(malloc list mremap pthread tree tsearch zlib)
  for stressor in "${stressors[@]}"; do
    local options=()
    case $stressor in
      malloc)
        options=(--malloc-bytes 64m --malloc-max 20000 --malloc-touch
          --malloc-pthreads 2)
        ;;
      vm*) options=(--vm-bytes 64m) ;;
    esac
    status=0
    stress-ng --verify --oomable --timeout "$seconds" \
      ${options[@]+"${options[@]}"} "--$stressor" 2 || status=$?
    echo "$stressor: status $status"
  done
}

# 3 and 4: this machine lacks what it takes.
outcomes() {
  sed -nE 's/^([a-z-]+): status ([0-9]+)$/\2 \1/p' |
    sed -E 's/^0 /passed /; s/^[34] /skipped /; s/^[0-9]+ /failed /'
}
