/* What forms were sent, as exports hold it. */
#ifndef CH_API_FORMS_H
#define CH_API_FORMS_H

#include "web/field.h"

/* The choices of `form` in sql/queries/forms.sql. */
typedef enum { CH_FORM_CONTACT, CH_FORM_DEMO } ch_form_e;

/* What the sender knows of it. */
extern const ch_fields_t ch_contact_sent_out;
extern const ch_fields_t ch_demo_sent_out;

#endif
