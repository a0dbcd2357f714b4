// core/thread/remote_claim.h: "If the word is still its tag, then no operation
// had begun before. One that begins after the barrier finds the word set, as a
// handler does, and uses another heap."  "So the tag stays there. The next
// operation of the heap's holder finds it, sees that the visit has ended, and
// takes the claim over."  "No two visits have the same tag, ever."  "Who takes
// that over finds the place of `from`, and ends the visit."  "Who takes the heap
// over when that thread has ended, or vanished, looks whether anybody visits
// it."
//
// The heap's holder works on it by the steps of claim.h, and a handler
// interrupts it between any two instructions and does the same.  An add reads
// the word and writes it later; what it writes waits in a store buffer, which
// the holder itself reads through, and gets to memory some time.  Visitors claim
// the heap as remote_claim.h says, some of them several times; they may vanish
// at any step, and then a successor finds what they have noted.  A barrier comes
// between two instructions of each of the others, and empties its store buffer.
//
// Never are two at work on the heap; each sees what the one before has done;
// and nobody works on what a vanished visitor has left in the middle.
//
// With TWO, there are two visitors, of which each comes once; with PLACE, they
// use one place.  With END, the holder ends, whatever a visitor does there, and
// another thread acquires the heap.  With VANISH, it vanishes at any step
// instead.
//
// holds:
// holds, long: -DTWO
// holds, long: -DTWO -DPLACE
// holds: -DEND
// holds: -DEND -DVANISH
// holds: -DCAS                     machines other than x86-64
// fails: -DBROKEN_BARRIER          no barrier before the second look
// fails: -DBROKEN_BARRIER -DCAS    the same: what was stored is not seen
// fails: -DBROKEN_SPLIT            the barrier may come inside of an instruction
// fails: -DBROKEN_LOOK             no second look
// fails: -DBROKEN_STORE            the visitor clears the word when it leaves
// fails: -DBROKEN_NUMBER           all visits from a place have one number
// fails: -DBROKEN_REPEATS          each second one has
// fails: -DBROKEN_UNDER_WAY        the holder takes a visit for ended
// fails: -DBROKEN_REPAIR           a successor only ends the visit
// fails: -DTWO -DPLACE -DBROKEN_PLACE  two visitors take one place at a time
// fails: -DEND -DBROKEN_END        who ends takes over any claim
// fails: -DEND -DBROKEN_ACQUIRE    who acquires takes over any claim
// fails: -DEND -DVANISH -DBROKEN_SUM   a sum counts as a visit
// fails: -DEND -DVANISH -DBROKEN_NO_SUM  a sum never counts as one

#ifdef END
#define OWNERS 2
#define CONTEXTS 1
#define VISITORS 1
#define VISITS(i) 2
#define ROUNDS 1
#else
#define OWNERS 1
#define CONTEXTS 2
#ifdef TWO
#define VISITORS 2
#define VISITS(i) 1
#define ROUNDS 1
#else
#define VISITORS 1
#ifdef BROKEN_REPEATS
#define VISITS(i) 3
#else
#define VISITS(i) 2
#endif
#define ROUNDS 2
#endif
#endif

// The word is 8 times the number of a visit, or a sum of that and of tags.
#define TAG(me, c) (1 << (2 * (me) + (c)))
#define SUM(w) ((w) % 8)
#define VISIT(w) ((w) / 8)
// Numbers are unique; a place's have its parity.
#ifdef BROKEN_NUMBER
#define NUMBER(p, n) (p)
#else
#ifdef BROKEN_REPEATS
#define NUMBER(p, n) (2 * ((n) % 2) + (p))
#else
#define NUMBER(p, n) (2 * (n) + (p))
#endif
#endif
#define PLACE_OF(v) (((v) % 2) == 1 -> 1 : 2)
#ifdef PLACE
#define PLACE_FOR(i) 1
#else
#define PLACE_FOR(i) (i)
#endif

byte word;
byte data;            // in memory; counts what was done to the heap
byte done;            // what it must be
byte noted[3];        // by place: the visit that is noted
byte visits[3];       // by place: how many there were
byte visitor_in[3];   // by place: who has it, or 0
bool inside[3];       // by place: the heap is claimed for the visit
bool gone;            // the first holder has vanished
bool torn;            // a visitor vanished in the middle of its work
byte at_work;         // contexts and visitors
byte holder = 1;      // 1 + the thread, or 0
bool alive[3] = true; // visitors
bool working[3];      // they are
bool half[3];         // and have read, but not written
byte finished;
bool split[OWNERS];   // in the middle of an instruction

// The store buffers.
#define DEPTH 3
typedef Buffer { byte length; bool is_word[DEPTH]; byte value[DEPTH] };
Buffer buffer[OWNERS];

inline Load(me, of_word, to) {
  to = (of_word -> word : data);
  for (k : 0 .. DEPTH - 1) {
    if
    :: k < buffer[me].length && buffer[me].is_word[k] == of_word ->
      to = buffer[me].value[k]
    :: else
    fi
  };
  k = 0
}
inline Store(me, of_word, what) {
  assert(buffer[me].length < DEPTH);
  buffer[me].is_word[buffer[me].length] = of_word;
  buffer[me].value[buffer[me].length] = what;
  buffer[me].length++
}
// The oldest store gets to memory.  On a machine that is weakly ordered, any.
inline Flush(me) {
  if
  :: buffer[me].is_word[0] -> word = buffer[me].value[0]
  :: else -> data = buffer[me].value[0]
  fi;
  for (k : 0 .. DEPTH - 2) {
    buffer[me].is_word[k] = buffer[me].is_word[k + 1];
    buffer[me].value[k] = buffer[me].value[k + 1]
  };
  buffer[me].is_word[DEPTH - 1] = false;
  buffer[me].value[DEPTH - 1] = 0;
  buffer[me].length--;
  k = 0
}
#ifdef CAS
// The newest store is one of another place than the one before, and overtakes.
#define MAY_OVERTAKE(me) (buffer[me].length == 2 && \
    buffer[me].is_word[0] != buffer[me].is_word[1])
inline Overtake(me) {
  if
  :: buffer[me].is_word[1] -> word = buffer[me].value[1]
  :: else -> data = buffer[me].value[1]
  fi;
  buffer[me].is_word[1] = false;
  buffer[me].value[1] = 0;
  buffer[me].length = 1
}
#endif
inline Drain(me) {
  do :: buffer[me].length > 0 -> Flush(me) :: else -> break od
}

#define NOTED(v) (noted[PLACE_OF(v)] == (v))
#define IS_VISITED (noted[1] != 0 || noted[2] != 0)
#ifdef BROKEN_SUM
#define IN_SUM true
#else
#ifdef BROKEN_NO_SUM
#define IN_SUM false
#else
#define IN_SUM IS_VISITED
#endif
#endif
#define UNDER_WAY(seen) (VISIT(seen) != 0 && \
    (SUM(seen) != 0 -> IN_SUM : NOTED(VISIT(seen))))

#define BEGIN_WORK() assert(at_work == 0 && !torn); at_work++
#define END_WORK() at_work--

mtype = { OUT, LOAD, ADD, ADDED, SUM_IS, UNDO, UNDONE, PEEK, LOOK, TAKE, READ,
          WRITE, RELEASE };

// One step of context c of the holder.  ADDED and UNDONE are the second halves
// of one instruction.
inline Step(c) {
  if
  :: at[c] == OUT -> at[c] = LOAD
  :: at[c] == LOAD -> Load(me, true, was); at[c] = (was != 0 -> PEEK : ADD)
#ifdef CAS
  :: at[c] == ADD ->
    // Of this word the buffer has nothing by then: it is coherent.
    do
    :: buffer[me].length > 0 && buffer[me].is_word[0] -> Flush(me)
    :: buffer[me].length > 1 && buffer[me].is_word[1] -> Flush(me)
    :: else -> break
    od;
    if
    :: word == 0 -> word = TAG(me, c); BEGIN_WORK(); at[c] = READ
    :: else -> at[c] = PEEK
    fi
#else
  :: at[c] == ADD -> Load(me, true, reg[c]); split[me] = true; at[c] = ADDED
  :: at[c] == ADDED ->
    Store(me, true, reg[c] + TAG(me, c)); split[me] = false; at[c] = SUM_IS
  :: at[c] == SUM_IS ->
    Load(me, true, was);
    if
    :: was == TAG(me, c) -> BEGIN_WORK(); at[c] = READ
    :: else -> at[c] = UNDO
    fi
  :: at[c] == UNDO -> Load(me, true, reg[c]); split[me] = true; at[c] = UNDONE
  :: at[c] == UNDONE ->
    Store(me, true, reg[c] - TAG(me, c)); split[me] = false; at[c] = PEEK
#endif
  :: at[c] == PEEK ->
    Load(me, true, seen[c]);
    at[c] = (VISIT(seen[c]) != 0 && SUM(seen[c]) == 0 -> LOOK : OUT)
  :: at[c] == LOOK ->
#ifdef BROKEN_UNDER_WAY
    at[c] = TAKE
#else
    at[c] = (UNDER_WAY(seen[c]) -> OUT : TAKE)
#endif
  :: at[c] == TAKE ->
    Drain(me);
    if
    :: word == seen[c] -> word = TAG(me, c); BEGIN_WORK(); at[c] = READ
    :: else -> at[c] = OUT
    fi
  :: at[c] == READ ->
    Load(me, false, reg[c]); assert(reg[c] == done); at[c] = WRITE
  :: at[c] == WRITE -> done++; Store(me, false, done); at[c] = RELEASE
  :: at[c] == RELEASE -> END_WORK(); Store(me, true, 0); at[c] = OUT
  fi;
  if :: at[c] == OUT -> reg[c] = 0; seen[c] = 0 :: else fi;
  was = 0
}

// A store waits until there is room for it.
#define HAS_ROOM (buffer[me].length < DEPTH)

proctype Owner(byte me) {
  mtype at[CONTEXTS] = OUT;
  byte reg[CONTEXTS], seen[CONTEXTS], was, k, rounds;
  bool nested, had;   // a handler runs, or ran
#ifdef END
  if
  :: me > 0 ->
    // AcquireIdle
    do
    :: holder == 0 ->
      seen[0] = word;
#ifndef BROKEN_ACQUIRE
      if :: UNDER_WAY(seen[0]) -> seen[0] = 0; goto stays :: else fi;
#endif
      holder = 1 + me;
      if
      :: seen[0] != 0 -> d_step {
          if
          :: word == seen[0] -> word = 0; assert(at_work == 0 && !torn)
          :: else
          fi }
      :: else
      fi;
      seen[0] = 0;
      break
#ifdef VANISH
    // AcquireDead
    :: holder == 1 && gone ->
      if :: UNDER_WAY(word) -> goto stays :: else fi;
      holder = 1 + me;
      seen[0] = word;
      if
      :: seen[0] != 0 && !UNDER_WAY(seen[0]) -> d_step {
          if
          :: word == seen[0] -> word = 0; assert(at_work == 0 && !torn)
          :: else
          fi }
      :: else
      fi;
      seen[0] = 0;
      break
#endif
stays: skip
    :: holder == 0 || gone -> goto end // nobody needs the heap
    od
  :: else
  fi;
#endif
  do
  :: d_step { HAS_ROOM && !nested && (rounds < ROUNDS || at[0] != OUT) ->
      rounds = rounds + (at[0] == OUT -> 1 : 0); Step(0) }
#if CONTEXTS == 2
  // A handler, between any two instructions; once.
  :: d_step { HAS_ROOM && !nested && at[0] != ADDED &&
      at[0] != UNDONE && at[1] == OUT && !had -> nested = true; had = true; Step(1) }
  :: d_step { HAS_ROOM && nested && at[1] != OUT -> Step(1) }
  :: d_step { nested && at[1] == OUT -> nested = false }
#endif
  :: d_step { buffer[me].length > 0 -> Flush(me) }
#ifdef CAS
  :: d_step { MAY_OVERTAKE(me) -> Overtake(me) }
#endif
#ifdef VANISH
  :: d_step { me == 0 && at[0] != ADDED && at[0] != UNDONE ->
      Drain(me);
      if
      :: at[0] == READ || at[0] == WRITE || at[0] == RELEASE -> END_WORK()
      :: else
      fi;
      gone = true };
    goto end
#endif
  :: rounds == ROUNDS && at[0] == OUT && !nested && buffer[me].length == 0 ->
    break
  od;
#ifdef END
  // ReleaseHeld
  do
  :: d_step { word == 0 -> word = TAG(me, 0); BEGIN_WORK(); END_WORK() };
    break
  :: seen[0] = word;
    if
#ifdef BROKEN_END
    :: seen[0] != 0 ->
#else
    :: UNDER_WAY(seen[0]) -> break
    :: seen[0] != 0 && !UNDER_WAY(seen[0]) ->
#endif
      if
      :: d_step { word == seen[0] -> word = TAG(me, 0); BEGIN_WORK(); END_WORK() };
        break
      :: else
      fi
    :: else
    fi
  od;
  seen[0] = 0;
  holder = 0;
  d_step { if :: word == TAG(me, 0) -> word = 0 :: else fi }
#endif
end: finished++
}

// A barrier passes thread `me`, if it has a point between two instructions.
inline Barrier(me) {
#ifdef BROKEN_SPLIT
  d_step { true -> Drain(me) }
#else
  d_step { !split[me] -> Drain(me) }
#endif
}

proctype Visitor(byte i) {
  byte n, p = PLACE_FOR(i), seen, read, k, number;
  {
    do
    :: n < VISITS(i) ->
      // Begin
      seen = word;
      if
      :: seen != 0 && (VISIT(seen) == 0 || SUM(seen) != 0 || UNDER_WAY(seen)) ->
        goto next
      :: else
      fi;
      if
#ifdef BROKEN_PLACE
      :: visitor_in[p] = i
#else
      :: d_step { visitor_in[p] == 0 -> visitor_in[p] = i }
      :: else -> goto next
#endif
      fi;
      d_step { number = NUMBER(p, visits[p]); visits[p]++; noted[p] = number };
      if
      :: d_step { word == seen -> word = 8 * number }
      :: else -> goto leave
      fi;
#ifndef BROKEN_BARRIER
      Barrier(0);
#ifdef END
      Barrier(1);
#endif
#endif
      if
#ifdef BROKEN_LOOK
      :: d_step { true -> BEGIN_WORK(); working[i] = true }
#else
      :: d_step { word == 8 * number -> BEGIN_WORK(); working[i] = true }
      :: else -> goto leave
#endif
      fi;
      inside[p] = true;
      d_step { read = data; assert(read == done); half[i] = true };
      d_step { done++; data = done; half[i] = false };
      // End
leave: skip;
#ifdef BROKEN_STORE
      if :: inside[p] -> word = 0 :: else fi;
#endif
      d_step {
        if :: working[i] -> END_WORK(); working[i] = false :: else fi;
        inside[p] = false
      };
      noted[p] = 0;
      visitor_in[p] = 0;
next: n++; seen = 0; read = 0; number = 0
    :: else -> break
    od
  } unless { !alive[i] };
  // Who takes the claim on `from` over, if it was abandoned.
  if
  :: visitor_in[p] == i ->
#ifndef BROKEN_REPAIR
    if
    :: d_step { inside[p] -> assert(at_work == 0); torn = false }
    :: else
    fi;
#endif
    inside[p] = false;
    noted[p] = 0;
    visitor_in[p] = 0
  :: else
  fi;
  finished++
}

inline Vanish(i) {
  d_step {
    alive[i] = false;
    torn = torn || half[i];
    if :: working[i] -> END_WORK(); working[i] = false; half[i] = false :: else fi
  }
}

active proctype Fate() {
  if :: Vanish(1) :: Vanish(2) :: true fi;
  finished == OWNERS + VISITORS;
  // Whoever comes next can have the heap.
  assert(!UNDER_WAY(word) && !torn && at_work == 0);
  assert(SUM(word) == 0 || gone)
}

init {
  atomic {
    run Owner(0);
#ifdef END
    run Owner(1);
#endif
    run Visitor(1);
#ifdef TWO
    run Visitor(2)
#endif
  }
}
