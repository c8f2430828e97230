// SIGBUS: pages of a mapped file that are gone.
#pragma once

namespace tern::cli {

// From now on a SIGBUS says on standard error what has happened, and ends the process as before.
void explain_bus_errors();

}  // namespace tern::cli
