from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
    import pytest

    from jwtrole import JWTRole

    pytest_plugins = ["jwtrole.pytest_plugin"]

    @pytest.fixture(scope="session")
    def jwtrole_auth(jwtrole_issuer):
        return JWTRole([jwtrole_issuer.issuer], roles=["member"])
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a project whose conftest opts in."""
    pytester.makeconftest(CONFTEST)
    return pytester


def run(project: pytest.Pytester) -> pytest.RunResult:
    """Run the project's tests as its author does, warnings being errors."""
    others = ("no:django", "no:asyncio", "no:cacheprovider")
    options = [word for name in others for word in ("-p", name)]
    return project.runpytest_inprocess(*options, "-W", "error")


def test_a_test_acts_as_the_holder_of_a_token(project: pytest.Pytester) -> None:
    """jwtrole_acting_as puts a verified identity in force for its block."""
    project.makepyfile(
        """
        from jwtrole import current_identity

        def test_acting(jwtrole_acting_as, jwtrole_auth):
            with jwtrole_acting_as(role="member", sub="ann"):
                identity = current_identity()
            assert identity.role == "member"
            assert identity.subject == "ann"
            assert jwtrole_auth.verify(identity.token) == identity
            assert current_identity() is None
        """
    )

    run(project).assert_outcomes(passed=1)


def test_a_test_mints_tokens_to_send(project: pytest.Pytester) -> None:
    """jwtrole_mint makes what the application's own trust verifies."""
    project.makepyfile(
        """
        def test_mint(jwtrole_mint, jwtrole_auth, jwtrole_issuer):
            identity = jwtrole_auth.verify(jwtrole_mint(role="member"))
            assert identity.issuer == jwtrole_issuer.name
        """
    )

    run(project).assert_outcomes(passed=1)


def test_the_issuer_is_one_for_the_run(project: pytest.Pytester) -> None:
    """Making the key costs once; each test trusts the same issuer."""
    project.makepyfile(
        """
        import pytest

        seen = []

        @pytest.mark.parametrize("time", [1, 2])
        def test_issuer(jwtrole_issuer, time):
            seen.append(jwtrole_issuer)
            assert seen[0] is jwtrole_issuer
        """
    )

    run(project).assert_outcomes(passed=2)


def test_a_role_outside_the_list_fails_the_test(project: pytest.Pytester) -> None:
    """The fixture takes the real way in: what the token may not, the test may not."""
    project.makepyfile(
        """
        def test_acting(jwtrole_acting_as):
            with jwtrole_acting_as(role="manager"):
                pass
        """
    )

    result = run(project)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RoleDenied*"])


def test_a_project_must_say_what_it_trusts(pytester: pytest.Pytester) -> None:
    """Without its own jwtrole_auth a project is told to write it."""
    pytester.makeconftest('pytest_plugins = ["jwtrole.pytest_plugin"]')
    pytester.makepyfile("def test_auth(jwtrole_auth): pass")

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*Override the fixture jwtrole_auth in your conftest*"]
    )


def test_the_plugin_is_opt_in(pytester: pytest.Pytester) -> None:
    """Installed alone the package adds nothing to anybody's test run."""
    pytester.makepyfile("def test_mint(jwtrole_mint): pass")

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'jwtrole_mint' not found*"])
