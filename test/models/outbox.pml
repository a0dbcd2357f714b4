// core/heap/outbox.h, Outbox: "Add commits with the store to the count or to
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
// fails: -DBROKEN_PUSH_FIRST      pushes the batches, then takes them off the lane
// fails: -DBROKEN_FREE_FIRST      frees a listed block, then strikes it off
#define BLOCKS 3
#define FREES 4
#define ABANDONED 2

byte next[BLOCKS + 1];
byte count[BLOCKS + 1];
byte listed[BLOCKS + 1];
byte first, last, room; // the lane
byte blocks;            // in it, as far as Add has counted
byte head;              // the owner's remote list
byte draining;
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
  :: b != 0 -> found++; found = found + count[b]; b = next[b]
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
      :: first != 0 && room > 0 ->
        room--;
#ifdef BROKEN_COUNT_FIRST
        count[first] = count[first] + 1;
        listed[first] = block
#else
        assert(count[first] == 0 && first != 1); // or there is no room
        listed[first] = block;
        count[first] = count[first] + 1
#endif
      :: else ->
        next[block] = first;
        count[block] = 0;
        if :: first == 0 -> last = block; blocks = 0 :: else fi;
#ifndef BROKEN_OLD_ROOM
        room = 0;
#endif
        first = block;
        room = (block != 1)
      fi;
      blocks++;
      if :: blocks < 2 -> goto added :: else fi;
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
      :: count[batch] > 0 ->
#ifdef BROKEN_FREE_FIRST
        d_step { assert(where[listed[batch]] == HEAP);
                 where[listed[batch]] = FREE };
        count[batch] = count[batch] - 1
#else
        b = listed[batch];
        count[batch] = count[batch] - 1;
        d_step { assert(b != 0 && where[b] == HEAP); where[b] = FREE }
#endif
      :: else
      fi;
      draining = next[batch];
      d_step { assert(where[batch] == HEAP); where[batch] = FREE }
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
