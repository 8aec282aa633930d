/* SPDX-License-Identifier: BSD-2-Clause */
/* An executable without a single case must not look good. */
typedef int kc_no_case;
