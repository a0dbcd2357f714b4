// core/arena/growth.h: "A chunk belongs to the thread that set its bit in
// `claimed`; that thread alone maps it.  Publish then sets its bit in `mapped`:
// from then on its units belong to those who mark them."  And: "stopped between
// the two bits, a thread keeps back the chunks that it has claimed or has begun to
// unmap, and nothing else; others claim the next ones."  "The units stay marked until the chunk is
// mapped again.  So a thread that found the chunk in `mapped` a while ago can mark
// none of them."
//
// Two threads take units, use and return them, and may unmap what is free; a
// chunk has one unit here.  The program maps something in the way at any time,
// and the system may refuse.  No unit is in two hands, or where there is no memory
// of ours; what the program has mapped stays; after a refusal the chunk can be
// had; no execution is infinite.
//
// finite:
// finite: -DFOREIGN
// finite: -DREFUSED
// finite: -DSTOP -DFOREIGN
// finite: -DUNMAP
// finite: -DUNMAP -DFOREIGN
// finite: -DUNMAP -DSTOP
// fails: -DBROKEN_FIXED -DFOREIGN   maps over what is there
// fails: -DBROKEN_EARLY             shows the chunk, then marks its unit
// fails: -DBROKEN_KEEP -DREFUSED    keeps the claim of what was refused
// fails: -DBROKEN_WAIT -DSTOP       waits for the chunk that another has claimed
// fails: -DBROKEN_FREE -DUNMAP      lets go of the units that it has unmapped
// fails: -DBROKEN_LET_GO -DUNMAP    lets go of the chunk, then unmaps it
// fails: -DBROKEN_LOOK -DUNMAP      unmaps what looks free, without marking it
#define CHUNKS 4
#define THREADS 2
#define ROUNDS 2
#define NOBODY 255

bit claimed[CHUNKS], mapped[CHUNKS], used[CHUNKS];
byte there = 0;          // `end_`
byte holder[CHUNKS] = NOBODY;
byte lost = 0;           // chunks claimed by who stopped

mtype = { nothing, ours, foreign };
mtype system[CHUNKS] = nothing;
bit was_foreign[CHUNKS];

#ifdef STOP
bit stopped = 0;
// One thread may stop for ever, here.
#define MAY_STOP(keeps) if :: atomic { !stopped -> stopped = 1; lost = lost + (keeps) }; goto done :: skip fi
#else
#define MAY_STOP(keeps) skip
#endif

inline Hold(c) {
  atomic {
    assert(system[c] == ours && holder[c] == NOBODY);
    holder[c] = _pid
  }
}

// FindFree and Mark: sets `c`, or CHUNKS if there is none.
inline TakeThere() {
  c = 0;
  do
  :: c < there && mapped[c] && !used[c] ->
     atomic { if :: !used[c] -> used[c] = 1; break :: else -> skip fi }
  :: c < there && (!mapped[c] || used[c]) -> c++
  :: c >= there -> c = CHUNKS; break
  od
}

// Arena::UnmapFree and Growth::Unmap.
inline Unmap() {
  c = 0;
  do
  :: c < there && mapped[c] && !used[c] ->
#ifdef BROKEN_LOOK
     used[c] = 1; break
#else
     atomic { if :: !used[c] -> used[c] = 1; break :: else -> skip fi }
#endif
  :: c < there && (!mapped[c] || used[c]) -> c++
  :: c >= there -> c = CHUNKS; break
  od;
  if
  :: c < CHUNKS ->
     MAY_STOP(1);
     mapped[c] = 0;
     MAY_STOP(1);
#ifdef BROKEN_LET_GO
     claimed[c] = 0;
#endif
     atomic {
       assert(system[c] == ours && holder[c] == NOBODY);
       system[c] = nothing
     };
     MAY_STOP(1);
#ifdef BROKEN_FREE
     used[c] = 0;
#endif
#ifndef BROKEN_LET_GO
     claimed[c] = 0
#endif
  :: else -> skip
  fi
}

// Growth::Map, Arena::Grow and Publish.
inline Grow() {
#ifdef UNMAP
  c = 0;
#else
  c = there;
#endif
  do
  :: c >= CHUNKS -> break
  :: c < CHUNKS && claimed[c] ->
#ifdef BROKEN_WAIT
     mapped[c] -> c++
#else
     c++
#endif
  :: c < CHUNKS && !claimed[c] ->
     bool won = false;
     atomic { if :: !claimed[c] -> claimed[c] = 1; won = true :: else -> skip fi }
     if :: !won -> goto again :: else -> skip fi;
     MAY_STOP(1);
     // mmap with MAP_FIXED_NOREPLACE.
     atomic {
       if
#ifdef REFUSED
       :: refusals > 0 -> refusals--; answer = 2
#endif
#ifdef BROKEN_FIXED
       :: system[c] = ours; answer = 0
#else
       :: system[c] == nothing -> system[c] = ours; answer = 0
       :: system[c] != nothing -> answer = 1
#endif
       fi
     }
     if
     :: answer == 0 ->
        MAY_STOP(1);
#ifdef BROKEN_EARLY
        atomic { if :: there <= c -> there = c + 1 :: else -> skip fi };
        mapped[c] = 1;
        used[c] = 1;
#else
#ifdef UNMAP
        if
        :: used[c] = 1; spare = false
        :: used[c] = 0; spare = true  // mapped ahead of need
        fi;
#else
        atomic { assert(!used[c]); used[c] = 1 };
#endif
        atomic { if :: there <= c -> there = c + 1 :: else -> skip fi };
        MAY_STOP(1);
        mapped[c] = 1;
#endif
        if :: spare -> c = CHUNKS :: else -> skip fi;
        break
     :: answer == 1 -> c++     // it stays claimed
     :: answer == 2 ->
#ifndef BROKEN_KEEP
        claimed[c] = 0;
#endif
        c = CHUNKS
     fi;
again: skip
  od
}

proctype Taker() {
  byte c, answer, i = 0;
  bool spare = false;
#ifdef REFUSED
  byte refusals = 1;
#endif
  do
  :: i < ROUNDS ->
#ifdef UNMAP
     if :: Unmap() :: skip fi;
#endif
     TakeThere();
     if :: c == CHUNKS -> Grow() :: else -> skip fi;
     if
     :: c < CHUNKS ->
        Hold(c);
        MAY_STOP(0);
        if
        :: atomic { holder[c] = NOBODY }; used[c] = 0
        :: skip               // it stays in use
        fi
     :: else -> skip
     fi;
     i++
  :: else -> break
  od;
done: skip
}

#ifdef FOREIGN
// The program maps something of its own.
proctype Program() {
  byte c = 0;
  do
  :: c < CHUNKS ->
     atomic {
       if
       :: system[c] == nothing -> system[c] = foreign; was_foreign[c] = 1
       :: skip
       fi
     };
     c = c + 2
  :: else -> break
  od
}
#endif

init {
  byte c = 0, i = 0;
  atomic {
    do :: i < THREADS -> run Taker(); i++ :: else -> break od;
#ifdef FOREIGN
    run Program();
#endif
  };
  _nr_pr == 1 ->
  do
  :: c < CHUNKS ->
     assert(!was_foreign[c] || system[c] == foreign);
     // What nobody has mapped or keeps back, and is free, can be claimed.
     assert(!claimed[c] || mapped[c] || was_foreign[c] || lost > 0);
     c++
  :: else -> break
  od
}
