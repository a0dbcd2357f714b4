// core/arena/free_hints.h: "A hint [...] may only err upwards".  "Who makes units
// free does so first, then reads the hints (Raise).  Who lowers it makes it odd
// first (BeginLowering), then reads the bits, and commits with a compare-and-swap
// from that value (Lower)."  "Each change of a hint makes a value that it never
// had.  Two who make neighbouring runs free at the same time have the same barrier
// in between: one of them at least reads that both are free, and raises the hint
// as far as the whole takes."  And: "One that stops between making units free and
// Raise hides from searches for long runs what it has made free, with the free
// units beside it."
//
// Three words of bits have a unit each, of which two are in use at first, or one.
// Two threads free one each, and one looks at all and lowers the hint; or the
// other way round.
// When all are done, no free run is longer than the hint says, but for what is
// next to a unit that a thread stopped at.  Nobody waits.
//
// finite:
// finite: -DTWO_SEARCH
// finite: -DSTOP
// finite: -DSTOP -DTWO_SEARCH
// fails: -DBROKEN_FIRST             raises the hint, then frees the unit
// fails: -DBROKEN_ALONE             raises it by its own unit alone
// fails: -DBROKEN_EVEN              does not say that it is about to lower it
// fails: -DBROKEN_SAME              a hint that is odd is left alone
// fails: -DBROKEN_STORE             lowers it without a compare-and-swap
// fails: -DBROKEN_VERSION -DTWO_SEARCH   a hint may have a value again
#define UNITS 3
#define MAY_STOP(me) unless { halted == me }

bit used[UNITS];
byte most = UNITS; // the hint: what it says, whether it is odd, and its version
bit odd;
byte version;
byte done;
byte halted = 255;
bit hides[UNITS];  // the one who stopped freed it last

#ifdef BROKEN_VERSION
#define NEW_VERSION skip
#else
#define NEW_VERSION version++
#endif

// The hint is changed if it is what was seen.
inline Change(new_most, new_odd) {
  d_step {
#ifdef BROKEN_STORE
    if
    :: true ->
#else
    if
    :: version == seen_version && odd == seen_odd && most == seen_most ->
#endif
      most = new_most; odd = new_odd; NEW_VERSION; changed = 1
    :: else -> changed = 0
    fi
  }
}

// BecameFree: reads the units beside it one by one, then the hint.
inline Raise(u) {
  first = u; behind = u + 1;
#ifndef BROKEN_ALONE
  do
  :: first > 0 && !used[first - 1] -> first--
  :: else -> break
  od;
  do
  :: behind < UNITS && !used[behind] -> behind++
  :: else -> break
  od;
#endif
  do
  :: atomic { seen_version = version; seen_odd = odd; seen_most = most };
    if
#ifdef BROKEN_SAME
    :: seen_most >= behind - first -> break
#else
    :: !seen_odd && seen_most >= behind - first -> break
#endif
    :: else ->
      if
      :: seen_odd -> Change(UNITS, 0)
      :: else -> Change(behind - first, 0)
      fi;
      if :: changed -> break :: else fi
    fi
  od;
  skip
}

proctype Freer(byte me; byte unit) {
  byte first, behind, seen_version, seen_most;
  bit seen_odd, changed;
  {
#ifdef BROKEN_FIRST
    Raise(unit);
#endif
    d_step { used[unit] = 0; hides[unit] = 1 };
#ifndef BROKEN_FIRST
    Raise(unit);
#endif
    d_step { hides[unit] = 0; done++ }
  } MAY_STOP(me)
}

// LowerHint
proctype Searcher(byte me) {
  byte u, length, longest, seen_version, seen_most;
  bit seen_odd, changed;
  {
    atomic { seen_version = version; seen_odd = odd; seen_most = most };
#ifndef BROKEN_EVEN
    Change(UNITS, 1);
    if
    :: changed ->
#ifndef BROKEN_VERSION
      seen_version++;
#endif
      seen_odd = 1; seen_most = UNITS;
#else
    if
    :: true ->
#endif
      do
      :: u < UNITS ->
        d_step {
          if
          :: used[u] -> length = 0
          :: else -> length++
          fi;
          if :: length > longest -> longest = length :: else fi;
          u++
        }
      :: else -> break
      od;
      Change(longest, 0)
    :: else
    fi;
    done++
  } MAY_STOP(me)
}

init {
  byte u, length;
  atomic {
    used[0] = 1;
#ifndef TWO_SEARCH
    used[1] = 1;
#endif
    run Freer(0, 0);
#ifdef TWO_SEARCH
    run Searcher(1);
#else
    run Freer(1, 1);
#endif
    run Searcher(2)
  };
#ifdef STOP
  if :: halted = 0 :: halted = 1 :: halted = 2 :: skip fi;
  (done == 3 || (halted != 255 && done == 2));
#else
  done == 3;
#endif
  d_step {
    do
    :: u < UNITS ->
      if
      :: used[u] || hides[u] -> length = 0
      :: else -> length++
      fi;
      // One that stopped hides what is beside its unit, too.
      assert(length <= most || (u > 0 && hides[u - 1]) || (u < UNITS - 1 && hides[u + 1]));
      u++
    :: else -> break
    od
  }
}
