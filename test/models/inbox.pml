// core/base/push_list.h: "The push commits with its compare-and-swap; a
// pusher that stops before it has changed nothing, one that stops after it is
// done."
// core/heap/inbox.h, Inbox: "taking them first notes the list's state, then empties
// the list, which flips a mark there. So an abandoned take loses nothing: Repair
// sees by the mark whether the list was taken."  And: "each raider takes a place
// in `raiders_` first, to which a mark belongs."
//
// A pusher takes free blocks and frees them remotely, so that a block comes back
// to the list while somebody still remembers it.  The owner and raiders take the
// list; the operations of each may be abandoned at any step, and its next one
// repairs.  Anybody may stop for ever.  Nobody waits: there is no deadlock, and
// no execution is infinite.
//
// finite:
// holds, long: -DRAIDERS=2 -DPUSHES=1
// holds: -DRAIDERS=2 -DPUSHES=1 -DPLACES=1    the second may find no place
// finite: -DSTOP -DPUSHES=1
// fails: -DBROKEN_STALE_NEXT           the push does not link again on a retry
// fails: -DBROKEN_TAKE_FIRST           takes the list, then notes its state
// fails: -DBROKEN_TRUST_NOTE           Repair does not look at the mark
// fails: -DBROKEN_LOOK_AT_LIST         Repair looks for the chain on the list
// fails: -DBROKEN_ONE_MARK             raiders flip the owner's mark
// fails: -DBROKEN_SHARED_PLACE -DRAIDERS=2 -DPUSHES=1    and its mark
// fails: -DBROKEN_FREE_FIRST           frees the block, then notes the next
// fails: -DBROKEN_WAIT -DSTOP                 a pusher waits for a raider
// cycles: -DBROKEN_SPIN                 a pusher spins until the raider is done
#ifdef STOP
#define MAY_STOP(i) unless { halted[i] }
#else
#define MAY_STOP(i)
#endif
#ifndef PUSHES
#define PUSHES 2
#endif
#ifndef RAIDERS
#define RAIDERS 1
#endif
#ifndef PLACES
#define PLACES RAIDERS
#endif
#define ABANDONED 1 // operations, at most
#define BLOCKS 2    // 1 and up; 0 is null
#define TAKERS (1 + RAIDERS) // the owner is 0
#define PUSHER TAKERS

byte next[BLOCKS + 1];
byte head;
byte marks;                // beside the head: the owner's, those of the places
byte raiders[PLACES];      // the takers that raid, or 0
byte place[TAKERS];        // that a raider has; PLACES if it has none
bool is_noted[TAKERS];     // of each inbox
byte noted[TAKERS];        // the head
byte noted_marks[TAKERS];
byte taken[TAKERS];
// Where a block is: free in its slab, in the hands of the program, or in those
// of a heap: on the list, taken, or in a taker's hand.
mtype = { FREE, PROGRAM, HEAP };
mtype where[BLOCKS + 1] = FREE;
byte abandoned;
bool abandon[TAKERS];
bool halted[TAKERS + 1];
bool over;  // the pusher has ended or halted
byte ended; // takers that did, the owner apart

#ifdef BROKEN_ONE_MARK
#define MARK(i) 1
#else
#define MARK(i) (1 << (i == 0 -> 0 : 1 + place[i]))
#endif

proctype Pusher() {
  byte block, seen, seen_marks, i;
  {
    for (i : 1 .. PUSHES) {
      atomic { // malloc: the slab's owner is another matter
        if
        :: where[1] == FREE -> block = 1
        :: where[2] == FREE -> block = 2
        :: else -> break
        fi;
        where[block] = PROGRAM
      }
#ifdef BROKEN_WAIT
      raiders[0] == 0;
#endif
#ifdef BROKEN_SPIN
      do :: raiders[0] != 0 :: else -> break od;
#endif
      skip;
      d_step { seen = head; seen_marks = marks };
retry:
      next[block] = seen;
swap: if
      :: atomic { head == seen && marks == seen_marks ->
                  head = block; where[block] = HEAP; goto pushed }
      :: atomic { else -> seen = head; seen_marks = marks }
      fi;
#ifdef BROKEN_STALE_NEXT
      goto swap;
#else
      goto retry;
#endif
pushed:
      seen = 0; block = 0; seen_marks = 0
    }
  } MAY_STOP(PUSHER);
  over = true
}

inline Free(b) {
  d_step { assert(where[b] == HEAP); where[b] = FREE }
}

inline Drain() {
  do
  :: taken[me] == 0 -> break
  :: taken[me] != 0 ->
    block = taken[me];
#ifdef BROKEN_FREE_FIRST
    Free(block);
    taken[me] = next[block]
#else
    taken[me] = next[block];
    Free(block)
#endif
  od;
  block = 0
}

// Its place is where the raider is listed; `place` is only what it finds there.
inline LeavePlace() {
  if
  :: d_step { place[me] != PLACES -> raiders[place[me]] = 0; place[me] = PLACES }
  :: else
  fi
}

// Blocks that a heap has, and that neither the list nor an inbox leads to, are
// lost: one an abandonment. Nobody else is at work any more.
inline CountLost() {
  d_step {
    lost = 0;
    for (b : 1 .. BLOCKS) { lost = lost + (where[b] == HEAP) }
    assert(head == 0 && taken[0] == 0 && lost <= abandoned);
    b = 0; lost = 0
  }
}

proctype Taker(byte me) {
  byte block, b, lost, seen_marks;
  bool torn;
  place[me] = PLACES;
  {
    skip;
again: {
      if :: torn ->
        if :: is_noted[me] ->
#ifdef BROKEN_LOOK_AT_LIST
          d_step {
            b = head;
            do
            :: b == 0 || b == noted[me] -> break
            :: else -> b = next[b]
            od;
            if :: b == 0 -> taken[me] = noted[me] :: else fi;
            b = 0
          }
#else
#ifdef BROKEN_TRUST_NOTE
          taken[me] = noted[me];
#else
          if
          :: ((marks ^ noted_marks[me]) & MARK(me)) != 0 -> taken[me] = noted[me]
          :: else
          fi;
#endif
#endif
          is_noted[me] = false
        :: else
        fi;
        LeavePlace();
        torn = false
      :: else
      fi;
      Drain();
      if
      :: me != 0 -> // Raid
#ifdef BROKEN_SHARED_PLACE
        place[me] = 0
#else
        b = 0;
        do
        :: atomic { b < PLACES && raiders[b] == 0 ->
                    raiders[b] = me; place[me] = b; b = 0; break }
        :: atomic { b < PLACES && raiders[b] != 0 -> b++ }
        :: atomic { b == PLACES -> b = 0; goto done }
        od
#endif
      :: else
      fi;
list: skip;
      d_step { block = head; seen_marks = marks };
#ifndef BROKEN_TAKE_FIRST
      d_step { is_noted[me] = true; noted[me] = block;
               noted_marks[me] = seen_marks };
#endif
      if :: block == 0 -> goto note :: else fi;
      if
      :: atomic { head == block && marks == seen_marks ->
                  head = 0; marks = marks ^ MARK(me) }
      :: atomic { else -> goto list }
      fi;
#ifdef BROKEN_TAKE_FIRST
      d_step { is_noted[me] = true; noted[me] = block;
               noted_marks[me] = seen_marks };
#endif
note: taken[me] = block;
      is_noted[me] = false;
      LeavePlace();
      Drain();
done: block = 0; seen_marks = 0;
      // Raiders come once; the owner until nobody else does.
      if
      :: me != 0 -> goto end
      :: me == 0 && head != 0 -> goto again
      :: me == 0 && head == 0 && over && ended == TAKERS - 1 -> goto end
      fi
    } unless { d_step { abandon[me] -> abandoned++; abandon[me] = false;
                        torn = true; block = 0; b = 0; seen_marks = 0 } };
    goto again
  } MAY_STOP(me);
end: if
  :: me != 0 -> ended++
#ifndef STOP
  :: me == 0 && !abandon[0] -> CountLost()
#else
  :: me == 0
#endif
  fi
}

// Abandons takers' operations and stops threads, whenever it likes.
proctype Fate() {
  byte i;
  for (i : 1 .. ABANDONED) {
    if
    :: atomic { !abandon[0] -> abandon[0] = true }
    :: atomic { !abandon[1] -> abandon[1] = true }
    :: break
    fi
  }
#ifdef STOP
  if
  :: halted[0] = true
  :: halted[1] = true
  :: halted[PUSHER] = true
  :: skip
  fi
#endif
}

init {
  byte i;
  atomic {
    run Pusher();
    for (i : 0 .. TAKERS - 1) { run Taker(i) }
    run Fate()
  }
}
