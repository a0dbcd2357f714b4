// core/heap/outbox.h, Outbox: "Add commits with the store to `listed` or to
// `first`".  "Abandoned before its commit, Add loses its block. Abandoned in the
// few instructions between taking a lane's batches off and pushing them, Send
// loses these".
// core/heap/inbox.h, Inbox: remote frees "are then in the heap's hands alone, with all
// the blocks that are listed in them".
//
// A thread frees blocks of another's heap into a lane, where a block can list
// one other, but for the first, which is too small, and sends them, two and more
// at a time; the owner drains them.  Any operation of either may be abandoned at
// any step; what another operation finds then must be right: no block is freed
// twice or handed on in two ways, and what is lost is what the abandoned
// operation had in hand.
//
// finite:
// fails: -DBROKEN_COUNT_FIRST     counts a block, then lists it
// fails: -DBROKEN_OLD_ROOM        leaves the room of the last carrier standing
// fails: -DBROKEN_OLD_COUNT       a new carrier has the number of the last one
// fails: -DBROKEN_NO_END          sends without the count in the batch
// fails: -DBROKEN_PUSH_FIRST      pushes the batches, then takes them off the lane
// fails: -DBROKEN_FREE_FIRST      frees a listed block, then strikes it off
// fails: -DBROKEN_LOOK_TWICE      leaves the count in a batch that is through
#define BLOCKS 3
#define FREES 4
#define ABANDONED 2

byte next[BLOCKS + 1];
byte count[BLOCKS + 1];
byte list[BLOCKS + 1];
byte first, last, room, listed; // the lane
byte blocks;            // in it, as far as Add has counted
byte head;              // the owner's remote list
byte draining, looked_at, left;
mtype = { FREE, PROGRAM, HEAP };
mtype where[BLOCKS + 1] = PROGRAM;
byte abandoned;         // operations
byte sent_in_vain;      // blocks that an abandoned Send had in hand
bool abandon[2];
bool over;

// Counts the blocks that a chain leads to, and those that are listed in it.
inline Walk(from) {
  b = from;
  do
  :: b == 0 -> break
  :: b != 0 ->
    found++;
    if
    :: b == first && room != 0 -> found = found + listed
    :: b == draining && b == looked_at -> found = found + left
    :: else -> found = found + count[b]
    fi;
    b = next[b]
  od
}

// Blocks that nobody has and nothing leads to are lost.
inline CountLost() {
  d_step {
    found = 0;
    Walk(first);
    Walk(head);
    Walk(draining);
    lost = 0;
    for (b : 1 .. BLOCKS) { lost = lost + (where[b] == HEAP) }
    assert(lost >= found); // or a block is in two places
    assert(lost - found <= abandoned + sent_in_vain);
    b = 0; found = 0; lost = 0
  }
}

// Outbox::End
inline End() {
  if
  :: room != 0 ->
    count[first] = listed;
#ifndef BROKEN_OLD_ROOM
    room = 0
#endif
  :: else
  fi
}

proctype Sender() {
  byte block, chain, tail, seen, done;
again:
  {
    do
    :: done == FREES -> break
    :: done < FREES ->
      block = 0;
      atomic { // malloc, and what the program did since
        if
        :: where[1] != HEAP -> block = 1
        :: where[2] != HEAP -> block = 2
        :: where[3] != HEAP -> block = 3
        :: else -> break
        fi;
        done++;
        where[block] = HEAP
      }
      if
      :: listed < room ->
#ifdef BROKEN_COUNT_FIRST
        listed++;
        list[first] = block
#else
        assert(listed == 0 && first != 1); // or there is no room
        list[first] = block;
        listed++
#endif
      :: else ->
        End();
        next[block] = first;
        count[block] = 0;
        if :: first == 0 -> last = block; blocks = 0 :: else fi;
#ifdef BROKEN_OLD_COUNT
        first = block;
        room = (block != 1);
        listed = 0
#else
        listed = 0;
        first = block;
        room = (block != 1)
#endif
      fi;
      blocks++;
      if :: blocks < 2 -> goto added :: else fi;
#ifdef BROKEN_NO_END
      room = 0;
#else
      End();
#endif
      chain = first;
      tail = last;
#ifndef BROKEN_PUSH_FIRST
      atomic { first = 0; sent_in_vain = sent_in_vain + BLOCKS };
#endif
retry:
      seen = head;
      next[tail] = seen;
      if
      :: atomic { head == seen -> head = chain;
#ifndef BROKEN_PUSH_FIRST
                  sent_in_vain = sent_in_vain - BLOCKS
#endif
                }
      :: atomic { head != seen -> goto retry }
      fi;
#ifdef BROKEN_PUSH_FIRST
      first = 0;
#endif
added: block = 0; chain = 0; tail = 0; seen = 0
    od
  } unless { d_step { abandon[0] -> abandon[0] = false; abandoned++;
                      block = 0; chain = 0; tail = 0; seen = 0 } ;
             goto again };
  over = true
}

proctype Owner() {
  byte batch, b, found, lost;
again:
  {
    do
    :: draining != 0 ->
      batch = draining;
      if
      :: looked_at != batch -> left = count[batch]; looked_at = batch
      :: else
      fi;
      if
      :: left > 0 ->
#ifdef BROKEN_FREE_FIRST
        d_step { assert(where[list[batch]] == HEAP);
                 where[list[batch]] = FREE };
        left--
#else
        b = list[batch];
        left--;
        d_step { assert(b != 0 && where[b] == HEAP); where[b] = FREE }
#endif
      :: else ->
#ifndef BROKEN_LOOK_TWICE
        count[batch] = 0;
#endif
        looked_at = 0;
        draining = next[batch];
        d_step { assert(where[batch] == HEAP); where[batch] = FREE }
      fi
    :: draining == 0 && head != 0 ->
      // How it comes to be noted is push_list.pml's affair.
      atomic { draining = head; head = 0 }
    :: draining == 0 && head == 0 && over -> break
    od
  } unless { d_step { abandon[1] -> abandon[1] = false; abandoned++;
                      batch = 0; b = 0 } ;
             goto again };
  CountLost()
}

// Abandons operations, whenever it likes.
proctype Fate() {
  byte i;
  for (i : 1 .. ABANDONED) {
    if
    :: atomic { !abandon[0] && !over -> abandon[0] = true }
    :: atomic { !abandon[1] -> abandon[1] = true }
    :: break
    fi
  }
}

init { atomic { run Sender(); run Owner(); run Fate() } }
