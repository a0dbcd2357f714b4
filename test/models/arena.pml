// core/arena/bitmap.h: "Mark commits with the compare-and-swap that sets the bits
// of the run's last word, Clear with the one that clears its bits.  A run that
// spans several words is marked word by word, upwards, and cleared again if a
// later word turns out taken.  Stopped in the middle, a thread keeps the bits
// that it has marked so far and nothing else, and nobody waits for it.  Marking
// upwards makes it lock-free".  And core/arena/arena.h: "A purge marks the units
// like Take".
//
// Two threads take runs, write and return them; a third may purge.  No unit is
// in two hands, a unit said to be zero is, what is in use is in somebody's
// hands, and no execution is infinite: who is stopped stops nobody else.
//
// finite:
// finite: -DPURGE
// finite: -DSTOP
// fails: -DBROKEN_STORE             a load and a store in place of the swap
// fails: -DBROKEN_NO_UNDO           words marked are kept when a later is taken
// fails: -DBROKEN_UNDO_ALL          the word that turned out taken is let go too
// fails: -DBROKEN_DIRTY_LAST -DPURGE     returned first, marked dirty then
// fails: -DBROKEN_PURGE -DPURGE     purges what is free without marking it
// fails: -DBROKEN_WAIT -DSTOP       waits for the word that turned out taken
// cycles: -DBROKEN_DOWN             one of the threads marks downwards
#ifdef PURGE
#define WORDS 2
#else
#define WORDS 3
#endif
#define BITS 2 // in a word
#define UNITS (WORDS * BITS)
#define MASK(start, end) (((1 << (end)) - 1) & ~((1 << (start)) - 1))
#define WORD(w) MASK((w) * BITS, (w) * BITS + BITS)
#define MAY_STOP(me) unless { halted == me }

// Bit maps.  A step touches one word of `used` or `dirty`.
byte used;
byte dirty = MASK(0, UNITS);   // everything was used and returned before
byte written = MASK(0, UNITS); // memory that is not zero
byte hands[3];                 // the units that each has set the bits of
byte halted = 255;
byte over;

inline Hold(bits) {
  assert((bits & (hands[0] | hands[1] | hands[2])) == 0);
  used = used | (bits);
  hands[me] = hands[me] | (bits)
}

inline LetGo(bits) {
  used = used & ~(bits);
  hands[me] = hands[me] & ~(bits)
}

// The word to claim as number i of those of a run.
#ifdef BROKEN_DOWN
#define NTH(i) (first + (i) + (me != 0) * (last - first - 2 * (i)))
#else
#define NTH(i) (first + (i))
#endif
#define OURS(w) (WORD(w) & MASK(start, start + count))

proctype Taker(byte me; byte count) {
  byte start, first, last, i, old, from;
  {
    from = 0;
find: // The lowest free run, in what is seen of the words one after the other.
    old = 0; i = 0;
    do
    :: i < WORDS -> d_step { old = old | (used & WORD(i)); i++ }
    :: else -> break
    od;
    atomic {
      start = from;
      do
      :: start + count > UNITS -> break
      :: start + count <= UNITS && (old & MASK(start, start + count)) != 0 ->
        start++
      :: else -> break
      od;
      first = start / BITS;
      last = (start + count - 1) / BITS;
      i = 0; old = 0
    };
    if
    :: start + count > UNITS && from != 0 -> from = 0; goto find
    :: start + count > UNITS && from == 0 -> goto done
    :: else
    fi;
claim:
    do
    :: i > last - first -> break
    :: else ->
      old = used & WORD(NTH(i));
      if
      :: (old & OURS(NTH(i))) != 0 ->
#ifdef BROKEN_WAIT
        (used & OURS(NTH(i))) == 0; goto claim;
#endif
#ifdef BROKEN_UNDO_ALL
        i++;
#endif
#ifndef BROKEN_NO_UNDO
        do
        :: i > 0 -> d_step { i--; LetGo(OURS(NTH(i))) }
        :: else -> break
        od;
#endif
        from = start;
        goto find
      :: else
      fi;
      if
#ifdef BROKEN_STORE
      :: d_step { used = (used & ~WORD(NTH(i))) | old; Hold(OURS(NTH(i))); i++ }
#else
      :: d_step { (used & WORD(NTH(i))) == old -> Hold(OURS(NTH(i))); i++ }
      :: else // changed: look again
#endif
      fi
    od;
    // BeginUse, from here on the run is ours.
    i = first; old = 0;
    do
    :: i <= last -> d_step { old = old | (dirty & OURS(i)); i++ }
    :: else -> break
    od;
    assert(old != 0 || (written & MASK(start, start + count)) == 0);
    written = written | MASK(start, start + count);
    // Return.
#ifndef BROKEN_DIRTY_LAST
    i = first;
    do
    :: i <= last -> d_step { dirty = dirty | OURS(i); i++ }
    :: else -> break
    od;
#endif
    i = first;
    do
    :: i <= last -> d_step { LetGo(OURS(i)); i++ }
    :: else -> break
    od;
#ifdef BROKEN_DIRTY_LAST
    dirty = dirty | MASK(start, start + count);
#endif
done: assert(hands[me] == 0 && used == (hands[0] | hands[1] | hands[2]))
  } MAY_STOP(me)
}

// PurgeExcess, and PurgeWord of each word.
proctype Purger(byte me) {
  byte i = WORDS, old, bits;
  {
    do
    :: i > 0 ->
      i--;
      old = used & WORD(i);
      bits = dirty & WORD(i) & ~old;
      if
#ifdef BROKEN_PURGE
      :: bits != 0 -> written = written & ~bits; dirty = dirty & ~bits
#else
      :: d_step { bits != 0 && (used & WORD(i)) == old -> Hold(bits) };
        written = written & ~bits;
        old = dirty & bits;
        dirty = dirty & ~old;
        d_step { LetGo(bits) }
#endif
      :: else
      fi
    :: else -> break
    od;
    assert(hands[me] == 0)
  } MAY_STOP(me)
}

init {
  byte a, b;
  atomic {
    select(a : 1 .. UNITS - 2); b = 3;
    run Taker(0, a); run Taker(1, b);
#ifdef PURGE
    run Purger(2);
#endif
    a = 0; b = 0
  }
#ifdef STOP
  if :: halted = 0 :: halted = 1 :: halted = 2 :: skip fi
#endif
}
