/* What TFLite's Android library asks of bionic and glibc lacks. For tests on a desktop only.
   `runtime.py` renames the library's references: libc.so -> libb.so (this), sysconf -> xysconf. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* bionic's stdin, stdout, stderr: an array of structures of this size; glibc's are smaller. */
#define BIONIC_FILE_BYTES 152
#define GLIBC_FILE_BYTES 216
char __sF[3 * BIONIC_FILE_BYTES + GLIBC_FILE_BYTES] __attribute__((aligned(16)));

__attribute__((constructor)) static void init(void) {
  memcpy(__sF + 2 * BIONIC_FILE_BYTES, stderr, GLIBC_FILE_BYTES);
}

int *__errno(void) { return &errno; }

size_t __strlen_chk(const char *text, size_t size) {
  (void)size;
  return strlen(text);
}

int __system_property_get(const char *name, char *value) {
  (void)name;
  value[0] = 0;
  return 0;
}

void android_set_abort_message(const char *message) { fprintf(stderr, "abort: %s\n", message); }

/* Android's log: from warnings (5) on. */
int __android_log_vprint(int priority, const char *tag, const char *format, va_list values) {
  if (priority < 5) return 0;
  fprintf(stderr, "%s: ", tag);
  int count = vfprintf(stderr, format, values);
  fputc('\n', stderr);
  return count;
}

/* bionic numbers these otherwise than glibc. */
long xysconf(int name) {
  switch (name) {
    case 0x27:
    case 0x28:
      return sysconf(_SC_PAGESIZE);
    case 0x60:
      return sysconf(_SC_NPROCESSORS_CONF);
    case 0x61:
      return sysconf(_SC_NPROCESSORS_ONLN);
    case 0x62:
      return sysconf(_SC_PHYS_PAGES);
    default:
      return -1;
  }
}
