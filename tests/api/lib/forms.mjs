/* Contact and demo requests for tests. */
import { uniqueEmail } from './accounts.mjs';
import { ok } from './expect.mjs';

export const contact = (fields = {}) => ({
  name: 'Ada Lovelace',
  email: uniqueEmail('ada'),
  subject: 'Engines',
  message: 'Do you have one?',
  ...fields,
});

export const demo = (fields = {}) => ({ name: 'Ada Lovelace', email: uniqueEmail('ada'), company: 'Engines Ltd', ...fields });

/** Both forms by their paths below /forms: a good body, and the table. */
export const FORMS = {
  contact: { body: contact, table: 'contact_submissions', alias: ['/contact'], states: ['new', 'in_progress', 'resolved', 'spam'] },
  demo: {
    body: demo,
    table: 'demo_requests',
    alias: ['/demo-requests', '/forms/demo-requests'],
    states: ['new', 'contacted', 'scheduled', 'completed', 'declined'],
  },
};

/** One of each: [contact, demo]. */
export async function sendForms(client, fields = {}) {
  const sent = [];
  for (const [form, { body }] of Object.entries(FORMS)) sent.push(ok(await client.post(`/forms/${form}`, body(fields)), 201));
  return sent;
}

/** The fields as an HTML form sends them. */
export const encoded = (fields) => new URLSearchParams(fields).toString();
