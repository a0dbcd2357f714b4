// core/thread/thread.h: "the `holder` word is all there is. A heap is acquired by
// one compare-and-swap, from 0 or from the token of a vanished thread, and
// released by one store."  "So there is no moment at which an interruption loses
// a heap that is in the registry."
// core/thread/thread.cc, Release: "The claim goes last: until the heap is no longer
// ours, no handler may make it `current`. If we are stopped in between, the next
// holder may have taken the claim over before we give it up."
//
// Threads acquire a heap, drain it (the first) or take it over (the others),
// work on it and release it.  Two of them may vanish at any step, and each may
// be stopped there while the others go on.  Claims are the load and the add of
// claim.h, which are not atomic beside another thread: so no two threads may try
// at once.  Never are two live threads at work on the heap, and nobody works on
// what a vanished thread left in the middle before it is repaired; a thread's
// `current` heap is its own, and the heap is never lost.  With REUSED, the last
// thread begins when the first is gone, and has its place in memory and its id.
//
// holds:
// holds: -DREUSED
// fails: -DBROKEN_ONE_LOOK -DREUSED  taken with one look at the thread
// fails: -DBROKEN_CLAIM_FIRST  released the claim first, then the heap
// fails: -DBROKEN_RELEASE      the claim is given up by a store of 0
// fails: -DBROKEN_TOKEN        a new thread has the token of one that vanished
// fails: -DBROKEN_TAKE         taken over by a store
// fails: -DBROKEN_REPAIR       taken over with no look at the claim
#define FREE 0
#define ROUNDS 2

// Nobody's, with the id of the thread that is taking the heap.
#define NOBODY(me) (4 + (me))
#define THREAD(token) ((token) > 4 -> (token) - 4 : (token))

#if defined(BROKEN_TOKEN) || defined(REUSED)
// The last thread begins when the first is gone, and has its place in memory.
#define TOKEN(me) ((me) == 3 -> 1 : (me))
#else
#define TOKEN(me) (me)
#endif

#ifdef REUSED
// And its id.
#define IS_DEAD(token) \
  (!alive[THREAD(token)] && !(THREAD(token) == 1 && begun && alive[3]))
bool begun;
#else
#define IS_DEAD(token) (!alive[THREAD(token)])
#endif

// Threads, and their tokens and tags, are 1 to 3.
byte holder;
byte word;            // the heap's claim
byte inside;          // the live thread at work on the heap
bool torn;            // somebody vanished in the middle of that
bool alive[4] = true;
bool frame[4];        // the memory of its frame holds its tag
bool current[4];      // its current heap is the heap

#define ENTER() assert(inside == 0 && !torn); inside = me
#define REPAIR() assert(inside == 0); torn = false; inside = me
#define LEAVE() inside = 0

// Claim, IsAbandoned and TakeOver: leads to `inside == me`, or not.
inline ClaimOrTakeOver(by_force) {
  if
  :: word == 0 ->
    atomic { word = me; ENTER() }
  :: word != 0 ->
    seen = word;
    if
    :: by_force || (seen != 0 && !frame[seen]) ->
      if :: atomic { word == seen -> word = me; REPAIR() } :: else fi
    :: else
    fi;
    seen = 0
  fi
}

// A handler that allocates.
#define HANDLER() \
  if \
  :: word == 0 && holder == TOKEN(me) -> current[me] = true \
  :: true \
  fi

// Gives up the heap, which is claimed.
inline Release() {
  current[me] = false;
#ifdef BROKEN_CLAIM_FIRST
  atomic { LEAVE(); word = 0 };
  HANDLER();
  holder = FREE
#else
  atomic { HANDLER(); LEAVE(); holder = FREE };
#ifdef BROKEN_RELEASE
  word = 0
#else
  atomic { if :: word == me -> word = 0 :: else fi }
#endif
#endif
}

inline AcquireFromDead() {
  seen = holder;
  if
  :: seen != FREE && IS_DEAD(seen) ->
#ifdef BROKEN_TAKE
    holder = TOKEN(me);
#else
#ifdef BROKEN_ONE_LOOK
    if :: atomic { holder == seen -> holder = TOKEN(me) } :: else -> goto none fi;
#else
    if :: atomic { holder == seen -> holder = NOBODY(me) } :: else -> goto none fi;
    if
    :: IS_DEAD(seen) -> atomic { if :: holder == NOBODY(me) -> holder = TOKEN(me) :: else -> goto none fi }
    :: else -> atomic { if :: holder == NOBODY(me) -> holder = seen :: else fi }; goto none
    fi;
#endif
#endif
#ifdef BROKEN_REPAIR
    word = 0;
#endif
    seen = word;
    if
    :: seen != 0 ->
      if
      :: atomic { word == seen -> word = me; REPAIR() };
        atomic { LEAVE(); word = 0 }
      :: else
      fi
    :: else
    fi
  :: else
  fi;
none: seen = 0
}

proctype Thread(byte me) {
  byte seen;
  byte rounds; // of work; when they are over, the thread ends
  {
#ifdef BROKEN_TOKEN
    if :: me == 3 -> !alive[1] :: else fi;
#endif
#ifdef REUSED
    if :: me == 3 -> atomic { !alive[1] -> begun = true } :: else fi;
#endif
    do
    :: rounds == ROUNDS && holder != TOKEN(me) -> break
    // An operation on a heap that we hold; the frame is there while it lasts.
    :: atomic { rounds < ROUNDS && (current[me] || holder == TOKEN(me)) ->
        rounds++; frame[me] = true };
      ClaimOrTakeOver(false);
      if
      :: inside == me -> current[me] = true; atomic { LEAVE(); word = 0 }
      :: else
      fi;
      frame[me] = false
    // ReleaseHeaps
    :: atomic { rounds == ROUNDS && holder == TOKEN(me) -> frame[me] = true };
      ClaimOrTakeOver(true);
      if :: inside == me -> Release() :: else fi;
      break
    // Acquire, or a visit
    :: atomic { rounds < ROUNDS && holder == FREE ->
        rounds++; holder = TOKEN(me) };
      if
      :: me == 1 ->
        frame[me] = true;
        ClaimOrTakeOver(false);
        if :: inside == me -> Release() :: else fi;
        frame[me] = false
      :: true
      fi
    :: rounds < ROUNDS && me != 1 && holder != TOKEN(me) ->
      rounds++; AcquireFromDead()
    // Somebody else's: the thread works on another heap.
    :: rounds < ROUNDS && holder != FREE && holder != TOKEN(me) -> rounds++
    od;
#ifdef BROKEN_CLAIM_FIRST
    // Allocates once more, as the fast path does: it looks at `current` alone.
    if
    :: current[me] && word == 0 -> atomic { word = me; ENTER() };
      atomic { LEAVE(); word = 0 }
    :: else
    fi
#endif
    assert(inside != me)
  } unless { !alive[me] };
  // Its stack is unmapped, or used for something else.
  alive[me] = false; frame[me] = false
}

inline Vanish(me) {
  atomic {
    alive[me] -> alive[me] = false;
    if :: inside == me -> inside = 0; torn = true :: else fi
  }
}

active proctype Fate() {
  byte i;
  for (i : 1 .. 2) {
    if :: Vanish(1) :: Vanish(2) :: true -> break fi
  }
  // What is left can be acquired or taken over.
  !alive[1] && !alive[2] && !alive[3] && !frame[1] && !frame[2] && !frame[3];
  assert(holder == FREE || IS_DEAD(holder));
  assert(!torn || word != 0)
}

init { atomic { run Thread(1); run Thread(2); run Thread(3) } }
