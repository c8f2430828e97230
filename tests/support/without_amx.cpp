// without_amx PROGRAM [ARGUMENT...]: runs a program for which the system refuses AMX.
#include <unistd.h>

#include <cstdio>

#include "support/amx_refusal.h"

int main(int count, char** arguments) {
  if (count < 2) {
    std::fputs("usage: without_amx PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  if (!tern::test::refuse_amx()) {
    std::perror("without_amx: cannot filter system calls");
    return 2;
  }
  execvp(arguments[1], arguments + 1);
  std::perror(arguments[1]);
  return 127;
}
