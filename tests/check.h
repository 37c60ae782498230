/* What every C test includes first: cmocka, with the headers it wants before it. */
#ifndef DFL_CHECK_H
#define DFL_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka's macro of this name would hide the library's function; fail_msg() does the same. */
#undef fail

#endif
