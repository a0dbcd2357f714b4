// Libraries that are loaded with RTLD_DEEPBIND take their malloc from here.
#ifndef AOMALLOC_PRELOAD_DLOPEN_H_
#define AOMALLOC_PRELOAD_DLOPEN_H_

namespace aomalloc::preload {

// From now on dlopen leaves RTLD_DEEPBIND as it is.
void KeepDeepbind();

}  // namespace aomalloc::preload

#endif  // AOMALLOC_PRELOAD_DLOPEN_H_
