// The cases: real code that threads of the model run.
#ifndef AOMALLOC_TEST_WEAK_CASES_H_
#define AOMALLOC_TEST_WEAK_CASES_H_

#include "test/weak/model.h"

namespace aomalloc::weak {

// True if the litmus tests have the outcomes that C++ allows, and no others.
// Otherwise prints what is different.
bool CheckLitmusTests();

// A case adds itself to the list by a variable of this type.
struct Listed {
  explicit Listed(Case* c);
  Case* const that;
  const Listed* const next;
};

}  // namespace aomalloc::weak

#endif  // AOMALLOC_TEST_WEAK_CASES_H_
