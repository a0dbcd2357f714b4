// The heap profile: whether there is one, and where it goes.
#ifndef AOMALLOC_PRELOAD_PROFILES_H_
#define AOMALLOC_PRELOAD_PROFILES_H_

namespace aomalloc::profiles {

// What the environment says. False if it makes no sense; then it is ignored.
bool SetRate(const char* value);     // AO_MALLOC_PROFILE_RATE; to be set first
bool SetProfile(const char* value);  // AO_MALLOC_PROFILE

// Writes the profile as it is now, if there is one, beside where it goes at
// exit: PATH.1, PATH.2, and so on. Signal-safe.
void WriteSnapshot();

}  // namespace aomalloc::profiles

#endif  // AOMALLOC_PRELOAD_PROFILES_H_
