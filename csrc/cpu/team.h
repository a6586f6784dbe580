// Threads that work together: torch's own, so that two pools do not fight for the cores.
#pragma once

namespace reram::cpu {

// Whether this process has an OpenMP runtime. On Linux the library brings none, but takes the one
// that torch has loaded; elsewhere it is linked to one.
bool have_team();

// Runs `work(data)` on up to `threads` threads at once, this one among them, and waits for all. A
// runtime may grant fewer; without one it is this thread alone. `work` must not throw.
void run_team(int threads, void (*work)(void*), void* data);

}  // namespace reram::cpu
