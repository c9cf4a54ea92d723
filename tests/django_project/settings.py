"""A stock project with django_jwtrole; the environment says where its server is."""

from __future__ import annotations

import os

SECRET_KEY = "for-tests-alone"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "tests.django_project.urls"
WSGI_APPLICATION = None
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django_jwtrole",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "tests.django_project.billing",
]
MIDDLEWARE = [
    "django_jwtrole.middleware.JWTRoleMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
_SERVER = {
    "ENGINE": "django_jwtrole.postgresql",
    "NAME": os.environ.get("DJANGO_DATABASE", "jwtrole"),
    "HOST": os.environ.get("DJANGO_HOST", ""),
    "PORT": os.environ.get("DJANGO_PORT", ""),
}
DATABASES = {
    "default": {**_SERVER, "USER": "app_login", "TEST": {"USER": "app_test"}},
    "owner": {**_SERVER, "USER": "app_owner"},
}
DATABASE_ROUTERS = ["django_jwtrole.routers.ContribRouter"]
# Both modes are run; what is said of the one has a test of its own.
SILENCED_SYSTEM_CHECKS = ["jwtrole.W004"]
JWTROLE = {
    "OWNER": "owner",
    "CONTRIB": "owner",
    "ISSUERS": [
        {
            "issuer": "https://id.example.com/",
            "audience": "billing",
            "secret": "a secret of the tests that is long enough for HS256",
            "algorithms": ["HS256"],
        }
    ],
    "ROLES": ["member", "manager"],
    "ANONYMOUS": "anon",
    "TRUST": os.environ.get("DJANGO_TRUST", "application"),
}
