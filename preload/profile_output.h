// The heap profile: whether there is one, and where it is written.
#ifndef AOMALLOC_PRELOAD_PROFILE_OUTPUT_H_
#define AOMALLOC_PRELOAD_PROFILE_OUTPUT_H_

namespace aomalloc::profile_output {

// The values of environment variables. False if the value is invalid; it is
// ignored then. SetRate has to come before SetProfile.
bool SetRate(const char* value);     // AO_MALLOC_PROFILE_RATE, in bytes
bool SetProfile(const char* value);  // AO_MALLOC_PROFILE

// Writes the profile as it is now, if there is one. The path is the one that is
// written at exit, with ".1", ".2" and so on behind it. Signal-safe.
void WriteSnapshot();

}  // namespace aomalloc::profile_output

#endif  // AOMALLOC_PRELOAD_PROFILE_OUTPUT_H_
