# The unit tests: one program each, made from the file of the same name with .c
# added, for example tests/unit/test_base_buf from tests/unit/test_base_buf.c.
chronicle_unit_tests = \
	tests/unit/test_auth_jwt \
	tests/unit/test_auth_password \
	tests/unit/test_auth_refresh \
	tests/unit/test_base_buf \
	tests/unit/test_base_charref \
	tests/unit/test_base_clock \
	tests/unit/test_base_err \
	tests/unit/test_base_html \
	tests/unit/test_base_json \
	tests/unit/test_base_jsonw \
	tests/unit/test_base_member \
	tests/unit/test_base_page \
	tests/unit/test_base_seal \
	tests/unit/test_base_text \
	tests/unit/test_base_uuid \
	tests/unit/test_web_openapi \
	tests/unit/test_web_promtext
