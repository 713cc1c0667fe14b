# The fuzz targets: one program each, made from the file of the same name with
# .c added and from replay.c. The seeds of tests/fuzz/fuzz_json are the files
# in tests/fuzz/seeds/json/.
chronicle_fuzzers = \
	tests/fuzz/fuzz_clock \
	tests/fuzz/fuzz_cookie \
	tests/fuzz/fuzz_cursor \
	tests/fuzz/fuzz_engineio \
	tests/fuzz/fuzz_fields \
	tests/fuzz/fuzz_html \
	tests/fuzz/fuzz_import \
	tests/fuzz/fuzz_item \
	tests/fuzz/fuzz_json \
	tests/fuzz/fuzz_jsonseq \
	tests/fuzz/fuzz_jwt \
	tests/fuzz/fuzz_merge3 \
	tests/fuzz/fuzz_mime \
	tests/fuzz/fuzz_multipart \
	tests/fuzz/fuzz_query \
	tests/fuzz/fuzz_record \
	tests/fuzz/fuzz_refresh \
	tests/fuzz/fuzz_smtp_talk \
	tests/fuzz/fuzz_socketio \
	tests/fuzz/fuzz_trace \
	tests/fuzz/fuzz_unzip \
	tests/fuzz/fuzz_ws
