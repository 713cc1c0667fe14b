/* The one list of error codes: name, HTTP status, text when none is given
 * (API.md 1.6). docs/errors.md names the same codes; a guard compares. */
#ifndef CH_BASE_CODES_H
#define CH_BASE_CODES_H

#define CH_CODES(X)                                                           \
    X(VALIDATION_ERROR, 400, "Invalid input data")                            \
    X(MALFORMED_JSON, 400, "The body is not valid JSON")                      \
    X(CONTENT_REJECTED, 400, "The content was rejected")                      \
    X(AUTHENTICATION_REQUIRED, 401, "Authentication is required")             \
    X(INVALID_TOKEN, 401, "The token is not valid")                           \
    X(TOKEN_EXPIRED, 401, "The token has expired")                            \
    X(INVALID_CREDENTIALS, 401, "Wrong e-mail address or password")           \
    X(INVALID_SIGNATURE, 401, "The signature is not valid")                   \
    X(FORBIDDEN, 403, "You may not do this")                                  \
    X(CSRF_FAILED, 403, "The X-CSRF-Token header is missing or wrong")        \
    X(SECURITY_VIOLATION, 403, "The request was refused")                     \
    X(EMAIL_NOT_VERIFIED, 403, "Verify your e-mail address first")            \
    X(NOT_ROOM_MEMBER, 403, "You are not a member of this room")              \
    X(ROUTE_NOT_FOUND, 404, "There is nothing at this path")                  \
    X(USER_NOT_FOUND, 404, "User not found")                                  \
    X(SESSION_NOT_FOUND, 404, "Session not found")                            \
    X(EXPORT_NOT_FOUND, 404, "Export not found")                              \
    X(FOLDER_NOT_FOUND, 404, "Folder not found")                              \
    X(NOTE_NOT_FOUND, 404, "Note not found")                                  \
    X(VERSION_NOT_FOUND, 404, "Version not found")                            \
    X(CONFLICT_NOT_FOUND, 404, "Conflict not found")                          \
    X(ATTACHMENT_NOT_FOUND, 404, "Attachment not found")                      \
    X(THUMBNAIL_NOT_FOUND, 404, "Thumbnail not found")                        \
    X(CONVERSATION_NOT_FOUND, 404, "Conversation not found")                  \
    X(ROOM_NOT_FOUND, 404, "Room not found")                                  \
    X(MESSAGE_NOT_FOUND, 404, "Message not found")                            \
    X(MEMBER_NOT_FOUND, 404, "Member not found")                              \
    X(REACTION_NOT_FOUND, 404, "Reaction not found")                          \
    X(SUBMISSION_NOT_FOUND, 404, "Submission not found")                      \
    X(INTEGRATION_NOT_FOUND, 404, "Integration not found")                    \
    X(ITEM_NOT_FOUND, 404, "Item not found")                                  \
    X(SYNC_NOT_FOUND, 404, "Sync run not found")                              \
    X(DISCREPANCY_NOT_FOUND, 404, "Discrepancy not found")                    \
    X(CLAIM_NOT_FOUND, 404, "Claim not found")                                \
    X(NOTIFICATION_NOT_FOUND, 404, "Notification not found")                  \
    X(WEBHOOK_NOT_FOUND, 404, "Webhook not found")                            \
    X(RUN_NOT_FOUND, 404, "Run not found")                                    \
    X(JOB_NOT_FOUND, 404, "Job not found")                                    \
    X(METHOD_NOT_ALLOWED, 405, "This path does not take this method")         \
    X(CONFLICT, 409, "This conflicts with what is stored")                    \
    X(EMAIL_TAKEN, 409, "An account with this e-mail address exists")         \
    X(FOLDER_NAME_TAKEN, 409, "A folder of this name exists")                 \
    X(SLUG_TAKEN, 409, "This slug is taken")                                  \
    X(SKU_TAKEN, 409, "An item with this SKU exists")                         \
    X(NOT_DELETED, 409, "This is not deleted")                                \
    X(NOT_PUBLIC, 409, "This is not public")                                  \
    X(ALREADY_MEMBER, 409, "Already a member")                                \
    X(ALREADY_VERIFIED, 409, "The e-mail address is verified already")        \
    X(INVALID_TRANSITION, 409, "This change of state is not possible")        \
    X(SYNC_IN_PROGRESS, 409, "A sync is running")                             \
    X(EXPORT_IN_PROGRESS, 409, "An export is running")                        \
    X(EXPORT_NOT_READY, 409, "The export is not ready")                       \
    X(LAST_ADMIN, 409, "The last administrator must stay")                    \
    X(IDEMPOTENCY_IN_PROGRESS, 409, "A request with this key is running")     \
    X(PRECONDITION_FAILED, 412, "The object has changed since")               \
    X(PAYLOAD_TOO_LARGE, 413, "The body is too large")                        \
    X(STORAGE_LIMIT_EXCEEDED, 413, "Your storage is full")                    \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "Send application/json")                   \
    X(RANGE_NOT_SATISFIABLE, 416, "The range is outside of the file")         \
    X(IDEMPOTENCY_MISMATCH, 422, "This key was used for another request")     \
    X(RATE_LIMIT_EXCEEDED, 429, "Too many requests, try again later")         \
    X(AI_LIMIT_EXCEEDED, 429, "Your AI tokens are used up")                   \
    X(INTERNAL_ERROR, 500, "Something went wrong here")                       \
    X(NOTION_ERROR, 502, "Notion answered with an error")                     \
    X(AIRTABLE_ERROR, 502, "Airtable answered with an error")                 \
    X(AI_ERROR, 502, "The AI provider answered with an error")                \
    X(PROVIDER_ERROR, 502, "The provider answered with an error")             \
    X(STORAGE_ERROR, 502, "The file storage answered with an error")          \
    X(DATABASE_ERROR, 503, "The database is not available, try again")        \
    X(SERVICE_UNAVAILABLE, 503, "This service is not available, try again")   \
    X(UPSTREAM_TIMEOUT, 504, "The provider did not answer in time")

/* Codes of one fault among an answer's details (API.md 1.2). */
#define CH_DETAIL_CODES(X)                                                    \
    X(MISSING_FIELD)                                                          \
    X(UNKNOWN_FIELD)                                                          \
    X(WRONG_TYPE)                                                             \
    X(TOO_SHORT)                                                              \
    X(TOO_LONG)                                                               \
    X(TOO_SMALL)                                                              \
    X(TOO_LARGE)                                                              \
    X(TOO_MANY)                                                               \
    X(TOO_FEW)                                                                \
    X(INVALID_FORMAT)                                                         \
    X(INVALID_VALUE)                                                          \
    X(DUPLICATE)                                                              \
    X(NOT_FOUND)                                                              \
    X(CONFLICT)

typedef enum {
    CH_E_NONE = 0,
#define X(name, status, text) CH_E_##name,
    CH_CODES(X)
#undef X
    CH_E__COUNT
} ch_code_e;

typedef enum {
#define X(name) CH_D_##name,
    CH_DETAIL_CODES(X)
#undef X
    CH_D__COUNT
} ch_detail_e;

#endif
