-- name: user_get :one (id uuid)
-- batch
-- An account as its owner sees it.
SELECT {{user_columns}} FROM users u WHERE u.id = $1;

-- name: user_update :one (id uuid, match int[]?, name_given bool,
--   full_name text?, avatar_given bool, avatar_url text?, ip inet?,
--   request_id text)
-- The profile; what changes nothing leaves the version.
WITH cur AS (SELECT u.* FROM users u WHERE u.id = $1 FOR NO KEY UPDATE),
want AS (
    SELECT CASE WHEN $3 THEN $4 ELSE full_name END AS full_name,
           CASE WHEN $5 THEN $6 ELSE avatar_url END AS avatar_url,
           CASE WHEN NOT version = ANY ($2)
                THEN 'PRECONDITION_FAILED:' || version END AS fault
    FROM cur),
done AS (
    UPDATE users SET full_name = want.full_name,
        avatar_url = want.avatar_url, version = users.version + 1,
        updated_at = now()
    FROM cur, want
    WHERE users.id = cur.id AND want.fault IS NULL
      AND (want.full_name, want.avatar_url)
          IS DISTINCT FROM (cur.full_name, cur.avatar_url)
    RETURNING users.*),
logged AS (
    INSERT INTO audit_logs (id, actor_id, action, target_type, target_id,
                            ip_address, request_id, details)
    SELECT {{new_id}}, done.id, 'user.update', 'user', done.id, $7, $8,
           jsonb_build_object('changed', array_remove(ARRAY[
               CASE WHEN done.full_name IS DISTINCT FROM cur.full_name
                    THEN 'fullName' END,
               CASE WHEN done.avatar_url IS DISTINCT FROM cur.avatar_url
                    THEN 'avatarUrl' END], NULL))
    FROM done, cur),
u AS (SELECT * FROM done
      UNION ALL
      SELECT * FROM cur WHERE NOT EXISTS (SELECT 1 FROM done))
SELECT want.fault, {{user_columns}} FROM want, u;

-- fragment: settings_columns
s.theme, s.language, s.timezone, s.email_notifications, s.push_notifications,
s.default_folder_id, s.auto_save, s.ai_enabled, s.ai_model, s.notes_sort_by,
s.notes_sort_order, s.conflict_strategy, s.custom, s.version, s.updated_at

-- name: settings_get :one (user_id uuid)
-- batch
-- An account's settings.
SELECT {{settings_columns}} FROM user_settings s WHERE s.user_id = $1;

-- name: settings_timezone_known :one (name text)
-- Whether the database knows a time zone.
SELECT EXISTS (SELECT 1 FROM pg_timezone_names WHERE name = $1) AS known;

-- name: settings_update :one (user_id uuid, match int[]?, theme text?,
--   language text?, timezone text?, email_notifications bool?,
--   push_notifications bool?, folder_given bool, default_folder_id uuid?,
--   auto_save bool?, ai_enabled bool?, model_given bool, ai_model text?,
--   notes_sort_by text?, notes_sort_order text?, conflict_strategy text?,
--   custom json?)
-- What is NULL and not "given" stays; what changes nothing leaves the
-- version.
WITH cur AS (
    SELECT s.* FROM user_settings s WHERE s.user_id = $1 FOR UPDATE),
want AS (
    SELECT coalesce($3, theme) AS theme, coalesce($4, language) AS language,
           coalesce($5, timezone) AS timezone,
           coalesce($6, email_notifications) AS email_notifications,
           coalesce($7, push_notifications) AS push_notifications,
           CASE WHEN $8 THEN $9 ELSE default_folder_id END
               AS default_folder_id,
           coalesce($10, auto_save) AS auto_save,
           coalesce($11, ai_enabled) AS ai_enabled,
           CASE WHEN $12 THEN $13 ELSE ai_model END AS ai_model,
           coalesce($14, notes_sort_by) AS notes_sort_by,
           coalesce($15, notes_sort_order) AS notes_sort_order,
           coalesce($16, conflict_strategy) AS conflict_strategy,
           coalesce($17, custom) AS custom
    FROM cur),
verdict AS (
    SELECT CASE
        WHEN $8 AND $9 IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM folders
            WHERE id = $9 AND user_id = $1 AND deleted_at IS NULL)
        THEN 'FOLDER_NOT_FOUND'
        WHEN NOT version = ANY ($2)
        THEN 'PRECONDITION_FAILED:' || version END AS fault
    FROM cur),
done AS (
    UPDATE user_settings t
    SET theme = w.theme, language = w.language, timezone = w.timezone,
        email_notifications = w.email_notifications,
        push_notifications = w.push_notifications,
        default_folder_id = w.default_folder_id, auto_save = w.auto_save,
        ai_enabled = w.ai_enabled, ai_model = w.ai_model,
        notes_sort_by = w.notes_sort_by,
        notes_sort_order = w.notes_sort_order,
        conflict_strategy = w.conflict_strategy, custom = w.custom,
        version = t.version + 1, updated_at = now()
    FROM cur, want w, verdict v
    WHERE t.user_id = cur.user_id AND v.fault IS NULL
      AND (w.theme, w.language, w.timezone, w.email_notifications,
          w.push_notifications, w.default_folder_id, w.auto_save,
          w.ai_enabled, w.ai_model, w.notes_sort_by,
          w.notes_sort_order, w.conflict_strategy, w.custom)
          IS DISTINCT FROM (
          cur.theme, cur.language, cur.timezone, cur.email_notifications,
          cur.push_notifications, cur.default_folder_id, cur.auto_save,
          cur.ai_enabled, cur.ai_model, cur.notes_sort_by,
          cur.notes_sort_order, cur.conflict_strategy, cur.custom)
    RETURNING t.*),
s AS (SELECT * FROM done
      UNION ALL
      SELECT * FROM cur WHERE NOT EXISTS (SELECT 1 FROM done))
SELECT verdict.fault, {{settings_columns}} FROM verdict, s;
