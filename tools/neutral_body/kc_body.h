/* SPDX-License-Identifier: BSD-2-Clause */
/* A body with nothing inline: for checks of the core that must not depend on any body. */
#ifndef KC_BODY_H
#define KC_BODY_H

#define KC_BODY_NAME "neutral"

#endif
