"""Signing in and out. Knows the form and the limits; refuses to say whether a name exists."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse

from finops import access
from finops.forms import SignInForm


class SignIn(LoginView):
    template_name = "finops/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args, **kwargs) -> HttpResponse:
        blocked = access.sign_in_blocked(request, request.POST.get("username", ""))
        if blocked:
            return self.render_to_response(self.get_context_data(blocked=blocked), status=429)
        return super().post(request, *args, **kwargs)

    def form_invalid(self, form) -> HttpResponse:
        """A wrong password is not a good answer: scripts and browsers should be able to tell."""
        return self.render_to_response(self.get_context_data(form=form), status=422)

    def get_context_data(self, **kwargs):
        return super().get_context_data(is_sample=settings.SAMPLE_DATA, **kwargs)


sign_in = SignIn.as_view()
sign_out = LogoutView.as_view(http_method_names=["post", "options"])
