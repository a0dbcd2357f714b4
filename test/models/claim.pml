// core/heap/claim.h: "only the heap's thread and its handlers touch the word, so
// what is needed is an operation that cannot be split by a signal".  "The frame
// shows which: it holds its own tag for as long as it lives. When the tag is
// gone, the claimant is gone."  And the word is never 0 while the heap is held.
//
// Contexts of one thread work on a heap.  LIFO: each is a handler that
// interrupted the one before and returns before that goes on; a longjmp leads
// to any of those that it interrupted, and drops what lies between.  Otherwise
// each has a stack of its own, the thread switches between them at any step,
// and a longjmp abandons the operation that its context is in.
//
// Tags are powers of 16 here: no sum or difference of others looks like one.
//
// holds: -DLIFO
// holds:
// holds: -DCAS                         machines other than x86-64
// holds: -DCAS -DEQUAL_STRIDES
// fails: -DBROKEN_SPLIT                a load and a store in place of the add
// fails: -DBROKEN_UNDO                 undone by a store of 0
// fails: -DBROKEN_NO_UNDO -DLIFO       not undone
// fails: -DBROKEN_TAKE_OVER            no look at the frame
// fails: -DBROKEN_TAKE_OVER -DLIFO     the same
// With SAME_PLACE a frame may lie where a dead one was, and has its tag:
// holds, long: -DSAME_PLACE
// holds: -DSAME_PLACE -DCAS
// fails: -DSAME_PLACE -DBROKEN_MARK    taken over without a mark
// fails: -DSAME_PLACE -DBROKEN_LOOK    no look at the frame after the mark
// A limit of the protocol, which needs switches of stacks within a window:
// fails: -DEQUAL_STRIDES               sums of four tags cancel out
#define CONTEXTS 4

// Where a context is: outside any operation, or before a step of Claim, the
// look at the frame, the mark, the second look, TakeOver, the work on the heap,
// Release.
mtype = { OUT, GONE, LOAD, ADD, SUM, UNDO, PEEK, LOOK, MARK, AGAIN, TAKE, WORK,
          RELEASE };

mtype at[CONTEXTS] = OUT;
int seen[CONTEXTS];
bool frame[CONTEXTS]; // the memory of its frame holds its tag
int word;
// In the upper bits of the word; and what was seen there. A new mark is one that
// nobody has seen.
byte mark;
byte seen_mark[CONTEXTS];
byte live = 1;       // LIFO: the contexts that there are
bool swept;           // LIFO: an operation was dropped between add and undo
#ifdef EQUAL_STRIDES
bool take_over = false;
byte left = 0;
#else
bool take_over = true;
#ifdef SAME_PLACE
byte left = 1;        // longjmps to come
#else
byte left = 3;
#endif
#endif

#ifdef EQUAL_STRIDES
#define TAG(i) (1000 + (i))
#else
#define TAG(i) (1 << (4 * (i)))
#endif

#define INSIDE(i) (at[i] == WORK || at[i] == RELEASE)
// It has added its tag to a word that was not free.
#define ASTRAY(i) (at[i] == UNDO || (at[i] == SUM && (word != TAG(i) || mark != 0)))

// The owner of the tag that `word` is, or CONTEXTS.
inline FindOwner(tag) {
  owner = 0;
  do
  :: owner < CONTEXTS && tag != TAG(owner) -> owner++
  :: else -> break
  od
}

inline Check() {
  inside = 0;
  for (k : 0 .. CONTEXTS - 1) { inside = inside + INSIDE(k) }
  assert(inside <= 1);
  assert(!(inside == 1 && word == 0 && mark == 0));
#ifdef LIFO
  FindOwner(word);
  for (k : 0 .. CONTEXTS - 1) { inside = inside + ASTRAY(k) }
  assert(word == 0 || owner < CONTEXTS || inside > 0 || swept);
#endif
}

inline NewMark(i) {
  mark = 1;
  do
  :: mark == seen_mark[0] || mark == seen_mark[1] || mark == seen_mark[2] ||
     mark == seen_mark[3] -> mark++
  :: else -> break
  od;
  seen_mark[i] = mark
}

// Ends the operation of context i.
#if defined(LIFO) || defined(SAME_PLACE) || defined(EQUAL_STRIDES)
#define End(i) at[i] = OUT; seen[i] = 0; seen_mark[i] = 0
#else
#define End(i) at[i] = GONE; seen[i] = 0; seen_mark[i] = 0
#endif

inline Step(i) {
  if
  :: at[i] == OUT -> frame[i] = true; at[i] = LOAD
  :: at[i] == LOAD -> at[i] = (word != 0 || mark != 0 -> PEEK : ADD)
#if defined(CAS)
  :: at[i] == ADD ->
    if
    :: word == 0 && mark == 0 -> word = TAG(i); at[i] = WORK
    :: else -> at[i] = PEEK
    fi
#elif defined(BROKEN_SPLIT)
  :: at[i] == ADD -> word = TAG(i); at[i] = WORK
#else
  :: at[i] == ADD -> word = word + TAG(i); at[i] = SUM
  :: at[i] == SUM -> at[i] = (word == TAG(i) && mark == 0 -> WORK : UNDO)
#endif
#ifdef BROKEN_NO_UNDO
  :: at[i] == UNDO -> at[i] = PEEK
#elif defined(BROKEN_UNDO)
  :: at[i] == UNDO -> word = 0; mark = 0; at[i] = PEEK
#else
  :: at[i] == UNDO -> word = word - TAG(i); at[i] = PEEK
#endif
  :: at[i] == PEEK ->
    FindOwner(word);
    seen[i] = word; seen_mark[i] = mark;
    if
    :: word == 0 && mark != 0 -> at[i] = TAKE
    :: word == 0 && mark == 0 -> End(i)
    :: word != 0 && owner == CONTEXTS -> End(i)
    :: word != 0 && owner != CONTEXTS -> at[i] = (owner == i -> TAKE : LOOK)
    fi
  :: at[i] == LOOK ->
    FindOwner(seen[i]);
#ifdef BROKEN_TAKE_OVER
    at[i] = TAKE
#else
    if :: frame[owner] -> End(i) :: else -> at[i] = MARK fi
#endif
  :: at[i] == MARK ->
#ifdef BROKEN_MARK
    at[i] = TAKE
#else
    if
    :: word == seen[i] && mark == seen_mark[i] -> NewMark(i); at[i] = AGAIN
    :: else -> End(i)
    fi
#endif
  :: at[i] == AGAIN ->
    FindOwner(seen[i]);
#ifdef BROKEN_LOOK
    at[i] = TAKE
#else
    if :: frame[owner] -> End(i) :: else -> at[i] = TAKE fi
#endif
  :: at[i] == TAKE ->
    if
    :: word == seen[i] && mark == seen_mark[i] ->
      word = TAG(i); mark = 0; at[i] = WORK; seen[i] = 0; seen_mark[i] = 0
    :: else -> End(i)
    fi
  :: at[i] == WORK -> at[i] = RELEASE
  :: at[i] == RELEASE -> word = 0; mark = 0; End(i)
  fi
}

#ifdef LIFO
#define MAY_RUN(i) (live == i + 1)
#else
#define MAY_RUN(i) (at[i] != GONE)
#endif
#define Run(i) d_step { \
    MAY_RUN(i) -> Step(i); Check(); k = 0; owner = 0; inside = 0 }

// Whatever a dead frame left may be overwritten some time.
#define Overwrite(i) d_step { \
    take_over && frame[i] && (at[i] == OUT || at[i] == GONE) -> frame[i] = false }

#ifdef LIFO
// A longjmp from the last context, which is not there any more, to context i.
#define Jump(i) d_step { \
    left > 0 && live > i + 1 -> left--; \
    for (k : i .. CONTEXTS - 1) { \
      swept = swept || ASTRAY(k); at[k] = OUT; seen[k] = 0; \
      seen_mark[k] = 0 \
    }; \
    live = i + 1; k = 0; Check(); k = 0; owner = 0; inside = 0 }
#else
#define Jump(i) d_step { \
    left > 0 && at[i] != OUT && at[i] != GONE -> \
    left--; End(i); Check(); k = 0; owner = 0; inside = 0 }
#endif

active proctype Thread() {
  byte k, owner, inside;
end:
  do
  :: Run(0) :: Run(1) :: Run(2) :: Run(3)
  :: Jump(0) :: Jump(1) :: Jump(2) :: Jump(3)
  :: Overwrite(0) :: Overwrite(1) :: Overwrite(2) :: Overwrite(3)
#ifdef LIFO
  :: live < CONTEXTS -> live++
  :: live > 1 && at[live - 1] == OUT -> live--
#endif
  od
}
