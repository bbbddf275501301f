/* What TFLite's Android library asks of bionic and glibc lacks. For tests on a desktop only.
   `runtime.py` renames the library's references: libc.so -> libb.so (this), sysconf -> xysconf and so on. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* bionic's stdin, stdout, stderr: an array of structures of this size, whose addresses the library
   hands to the functions below. */
#define BIONIC_FILE_BYTES 152
char __sF[3 * BIONIC_FILE_BYTES] __attribute__((aligned(16)));

static FILE *real(void *file) {
  ptrdiff_t at = (char *)file - __sF;
  if (at < 0 || at >= (ptrdiff_t)sizeof __sF) return file;
  FILE *usual[] = {stdin, stdout, stderr};
  return usual[at / BIONIC_FILE_BYTES];
}

int xfprintf(void *file, const char *format, va_list values) {
  return vfprintf(real(file), format, values);
}

int xprintf(void *file, const char *format, ...) {
  va_list values;
  va_start(values, format);
  int count = vfprintf(real(file), format, values);
  va_end(values);
  return count;
}

int xputc(int c, void *file) { return fputc(c, real(file)); }
int xflush(void *file) { return fflush(file ? real(file) : NULL); }
size_t xwrite(const void *data, size_t size, size_t count, void *file) {
  return fwrite(data, size, count, real(file));
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
