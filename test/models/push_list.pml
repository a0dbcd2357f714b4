// core/atomics.h, PushList: "The push commits with its compare-and-swap; a
// pusher that stops before it has changed nothing, one that stops after it is
// done."
// core/heap.h, Heap: "Draining first notes the chain in `draining_` and then
// empties the list, so an operation that is abandoned between the two loses
// nothing: Repair looks whether the chain is still on the list."  And: "At most
// the block [...] that the abandoned operation had in hand is lost."
//
// Pushers take free blocks and free them remotely, so that a block comes back
// to the list while somebody still remembers it.  The drainer's operation may
// be abandoned at any step; another then repairs and drains.  Anybody may stop
// for ever.  Nobody waits: there is no deadlock, and no execution is infinite.
//
// finite:
// finite: -DSTOP
// fails: -DBROKEN_STALE_NEXT           the push does not link again on a retry
// fails: -DBROKEN_TAKE_FIRST           takes the list, then notes the chain
// fails: -DBROKEN_TRUST_NOTE           Repair does not look at the list
// fails: -DBROKEN_FREE_FIRST           frees the block, then notes the next
// fails: -DBROKEN_WAIT -DSTOP                 a pusher waits for the drainer
// cycles: -DBROKEN_SPIN                 a pusher spins until the drainer is done
#define PUSHERS 2
#ifdef STOP
#define PUSHES 1    // of each pusher
#define ABANDONED 1 // operations of the drainer, at most
#define MAY_STOP(i) unless { halted[i] }
#else
#define PUSHES 2
#define ABANDONED 2
#define MAY_STOP(i)
#endif
#define BLOCKS 2    // 1 and up; 0 is null

byte next[BLOCKS + 1];
byte head;
byte draining; // as noted in the heap
// Where a block is: free in its slab, in the hands of the program, or in those
// of the heap: on the list, noted, or in the drainer's hand.
mtype = { FREE, PROGRAM, HEAP };
mtype where[BLOCKS + 1] = FREE;
byte abandoned;
bool abandon;
bool halted[PUSHERS + 1]; // the last is the drainer's
byte over; // pushers that ended or halted

proctype Pusher(byte me) {
  byte block, seen, i;
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
      draining == 0;
#endif
#ifdef BROKEN_SPIN
      do :: draining != 0 :: else -> break od;
#endif
      seen = head;
retry:
      next[block] = seen;
      if
      :: atomic { head == seen -> head = block; where[block] = HEAP }
#ifdef BROKEN_STALE_NEXT
      :: atomic { head != seen -> seen = head; goto swap }
#else
      :: atomic { head != seen -> seen = head; goto retry }
#endif
      fi;
      goto pushed;
#ifdef BROKEN_STALE_NEXT
swap: if
      :: atomic { head == seen -> head = block; where[block] = HEAP }
      :: atomic { head != seen -> seen = head; goto swap }
      fi;
#endif
pushed: seen = 0; block = 0
    }
  } MAY_STOP(me)
  over++
}

// Blocks that the heap has, and that neither the list nor the note leads to,
// are lost: one an abandonment.
inline CountLost() {
  d_step {
    lost = 0;
    for (b : 1 .. BLOCKS) { lost = lost + (where[b] == HEAP) }
    b = head;
    do :: b != 0 -> lost--; b = next[b] :: else -> break od;
    assert(draining == 0 && lost <= abandoned);
    b = 0
  }
}

proctype Drainer() {
  byte block, b, lost;
  {
    skip;
again: {
      if :: abandoned > 0 ->
        b = head; // Repair
        do
        :: b == 0 || draining == 0 -> break
#ifndef BROKEN_TRUST_NOTE
        :: b != 0 && draining != 0 && b == draining -> draining = 0
#endif
        :: b != 0 && draining != 0 && b != draining -> b = next[b]
        od
      :: else
      fi;
      b = 0;
      if :: draining != 0 -> goto chain :: else fi;
      block = head;
list: if :: block == 0 -> goto done :: else fi;
#ifndef BROKEN_TAKE_FIRST
      draining = block;
#endif
      if
      :: atomic { head == block -> head = 0 }
      :: atomic { head != block -> block = head; goto list }
      fi;
#ifdef BROKEN_TAKE_FIRST
      draining = block;
#endif
chain:
      do
      :: draining == 0 -> break
      :: draining != 0 ->
        block = draining;
#ifdef BROKEN_FREE_FIRST
        d_step { assert(where[block] == HEAP); where[block] = FREE };
        draining = next[block]
#else
        draining = next[block];
        d_step { assert(where[block] == HEAP); where[block] = FREE }
#endif
      od;
done: CountLost();
      // Whoever does not stop drains until nobody pushes any more.
      if
      :: over == PUSHERS && head == 0 -> goto end
      :: head != 0 -> goto again
      fi
    } unless { d_step { abandon -> abandoned++;
                        abandon = false; block = 0; b = 0 } };
    goto again
  } MAY_STOP(PUSHERS);
end: skip
}

// Abandons the drainer's operations and stops threads, whenever it likes.
proctype Fate() {
  byte i;
  for (i : 1 .. ABANDONED) {
    if :: atomic { !abandon -> abandon = true } :: break fi
  }
#ifdef STOP
  if
  :: halted[0] = true
  :: halted[1] = true
  :: halted[PUSHERS] = true
  :: skip
  fi
#endif
}

init {
  byte i;
  atomic {
    for (i : 0 .. PUSHERS - 1) { run Pusher(i) }
    run Drainer();
    run Fate()
  }
}
