"""The Django settings of the demo; PGHOST and PGPORT say where PostgreSQL is."""

from __future__ import annotations

from people import ISSUER

SECRET_KEY = "of no use here: nothing is signed"
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = ["django_jwtrole", "shop"]
MIDDLEWARE = ["django_jwtrole.middleware.JWTRoleMiddleware"]
DATABASES = {
    alias: {"ENGINE": "django_jwtrole.postgresql", "NAME": "shop", "USER": user}
    for alias, user in {"default": "shop_login", "owner": "shop_owner"}.items()
}
JWTROLE = {
    "OWNER": "owner",
    "ISSUERS": [ISSUER.settings],
    "ROLE_CLAIM": "role",
    "ROLES": ["member", "manager"],
}
