"""Addresses of the API. Knows paths and names; refuses anything else."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView

from . import (
    alert_plans,
    alerts,
    allocation,
    bill_changes,
    budgets,
    channels,
    events,
    exchange,
    labels,
    loads,
    logged_errors,
    money,
    people,
    price_terms,
    price_update,
    reconciliation,
    repricing,
    saved_views,
    savings,
    slack,
    slos,
    source_changes,
    sources,
    traffic,
    unit_costs,
    watch_rules,
)

app_name = "api"

# Digits that fit the column: a larger number is no address, not an error of the database.
SOURCE = r"^v1/sources/(?P<pk>[0-9]{1,9})"
CHANNEL = r"^v1/channels/(?P<pk>[0-9]{1,18})"
UID = r"(?P<uid>[0-9a-f-]{36})"
SLO_PROPOSAL = r"^v1/slo-proposals/(?P<pk>[0-9]{1,18})"
MESSAGE = rf"{CHANNEL}/messages/(?P<message>[0-9]{{1,18}})"

urlpatterns = [
    path("v1/schema", SpectacularAPIView.as_view(permission_classes=[]), name="schema"),
    path("v1/me", people.Me.as_view(), name="me"),
    path("v1/projects", people.Projects.as_view(), name="projects"),
    path("v1/spend", money.SpendTotal.as_view(), name="spend"),
    path("v1/spend/by", money.SpendBy.as_view(), name="spend-by"),
    path("v1/spend/series", money.SpendSeries.as_view(), name="spend-series"),
    path("v1/spend/lines", money.SpendLines.as_view(), name="spend-lines"),
    path("v1/spend/month", money.SpendMonth.as_view(), name="spend-month"),
    path("v1/reconciliation", reconciliation.Reconciled.as_view(), name="reconciliation"),
    path("v1/source-costs", reconciliation.SourceCosts.as_view(), name="source-costs"),
    path("v1/bill-matches", reconciliation.BillMatches.as_view(), name="bill-matches"),
    re_path(
        r"^v1/bill-matches/(?P<pk>[0-9]{1,18})$",
        reconciliation.OneBillMatch.as_view(),
        name="bill-match",
    ),
    path("v1/unit-costs", unit_costs.UnitCosts.as_view(), name="unit-costs"),
    path("v1/unit-costs/series", unit_costs.Series.as_view(), name="unit-costs-series"),
    path("v1/unit-costs/comparison", unit_costs.Compared.as_view(), name="unit-costs-comparison"),
    path("v1/unit-costs/what-if", unit_costs.OtherModels.as_view(), name="unit-costs-what-if"),
    path("v1/requests", traffic.RequestSummary.as_view(), name="requests"),
    path("v1/requests/series", traffic.RequestSeries.as_view(), name="requests-series"),
    path(
        "v1/requests/concurrency",
        traffic.RequestConcurrency.as_view(),
        name="requests-concurrency",
    ),
    path("v1/requests/servers", traffic.ModelServers.as_view(), name="requests-servers"),
    path("v1/requests/recent", traffic.Recent.as_view(), name="requests-recent"),
    path("v1/requests/slowest", traffic.Slowest.as_view(), name="requests-slowest"),
    path("v1/requests/errors", traffic.Errors.as_view(), name="requests-errors"),
    path("v1/errors", logged_errors.ErrorTypes.as_view(), name="errors"),
    path("v1/gpus", traffic.Gpus.as_view(), name="gpus"),
    path("v1/gpus/series", traffic.GpuSeries.as_view(), name="gpus-series"),
    path("v1/loads", loads.Loads.as_view(), name="loads"),
    path("v1/sources", source_changes.Sources.as_view(), name="sources"),
    path("v1/sources/test", sources.TrySettings.as_view(), name="sources-test"),
    re_path(rf"{SOURCE}$", source_changes.OneSource.as_view(), name="source"),
    re_path(rf"{SOURCE}/deliveries$", traffic.Deliveries.as_view(), name="source-deliveries"),
    re_path(rf"{SOURCE}/pulls$", traffic.Pulls.as_view(), name="source-pulls"),
    re_path(rf"{SOURCE}/rejects$", traffic.Rejects.as_view(), name="source-rejects"),
    re_path(rf"{SOURCE}/rejects/replay$", sources.Replay.as_view(), name="source-replay"),
    re_path(rf"{SOURCE}/test$", sources.TrySource.as_view(), name="source-test"),
    re_path(rf"{SOURCE}/backfills$", sources.Backfills.as_view(), name="source-backfills"),
    re_path(
        rf"{SOURCE}/backfills/(?P<job>[0-9]{{1,18}})$",
        sources.OneBackfill.as_view(),
        name="source-backfill",
    ),
    re_path(rf"{SOURCE}/tokens$", people.PushTokens.as_view(), name="push-tokens"),
    re_path(
        rf"{SOURCE}/tokens/(?P<token>[0-9a-f]{{16}})$",
        people.OnePushToken.as_view(),
        name="push-token",
    ),
    re_path(r"^v1/deliveries/(?P<pk>[0-9]{1,18})$", traffic.OneDelivery.as_view(), name="delivery"),
    re_path(
        r"^v1/deliveries/(?P<pk>[0-9]{1,18})/changes$",
        bill_changes.DeliveryChanges.as_view(),
        name="delivery-changes",
    ),
    path("v1/channels", channels.Channels.as_view(), name="channels"),
    re_path(rf"{CHANNEL}$", channels.OneChannel.as_view(), name="channel"),
    re_path(rf"{CHANNEL}/test$", channels.TestChannel.as_view(), name="channel-test"),
    re_path(rf"{CHANNEL}/rotate$", channels.RotateChannel.as_view(), name="channel-rotate"),
    re_path(rf"{CHANNEL}/messages$", channels.ChannelMessages.as_view(), name="channel-messages"),
    re_path(rf"{MESSAGE}$", channels.OneMessage.as_view(), name="channel-message"),
    re_path(
        rf"{MESSAGE}/redeliver$", channels.RedeliverMessage.as_view(), name="channel-redeliver"
    ),
    path("v1/events", events.Events.as_view(), name="events"),
    re_path(r"^v1/events/(?P<pk>[0-9]{1,18})$", events.OneEvent.as_view(), name="event"),
    re_path(r"^v1/events/(?P<pk>[0-9]{1,18})/end$", events.EndEvent.as_view(), name="event-end"),
    path("v1/allocation-rules", allocation.AllocationRules.as_view(), name="allocation-rules"),
    path(
        "v1/allocation-rules/preview",
        allocation.PreviewAllocationRule.as_view(),
        name="allocation-rules-preview",
    ),
    re_path(
        r"^v1/allocation-rules/(?P<pk>[0-9]{1,18})$",
        allocation.OneAllocationRule.as_view(),
        name="allocation-rule",
    ),
    path(
        "v1/allocation/unallocated",
        allocation.Unallocated.as_view(),
        name="allocation-unallocated",
    ),
    path("v1/showback", allocation.ShowbackView.as_view(), name="showback"),
    path("v1/chargebacks", allocation.Chargebacks.as_view(), name="chargebacks"),
    re_path(
        r"^v1/chargebacks/(?P<pk>[0-9]{1,18})$",
        allocation.OneChargeback.as_view(),
        name="chargeback",
    ),
    path("v1/budgets", budgets.Budgets.as_view(), name="budgets"),
    re_path(r"^v1/budgets/(?P<pk>[0-9]{1,18})$", budgets.OneBudget.as_view(), name="budget"),
    re_path(
        r"^v1/budgets/(?P<pk>[0-9]{1,18})/status$",
        budgets.BudgetStatus.as_view(),
        name="budget-status",
    ),
    path("v1/limits", budgets.Limits.as_view(), name="limits"),
    path("v1/slos", slos.Slos.as_view(), name="slos"),
    re_path(r"^v1/slos/(?P<pk>[0-9]{1,18})$", slos.OneSlo.as_view(), name="slo"),
    re_path(r"^v1/slos/(?P<pk>[0-9]{1,18})/course$", slos.SloCourse.as_view(), name="slo-course"),
    re_path(
        r"^v1/slos/(?P<pk>[0-9]{1,18})/versions$", slos.SloVersions.as_view(), name="slo-versions"
    ),
    re_path(r"^v1/slos/(?P<pk>[0-9]{1,18})/proposals$", slos.SloNext.as_view(), name="slo-change"),
    path("v1/slo-proposals", slos.SloProposals.as_view(), name="slo-proposals"),
    re_path(rf"{SLO_PROPOSAL}$", slos.OneSloProposal.as_view(), name="slo-proposal"),
    re_path(rf"{SLO_PROPOSAL}/approve$", slos.ApproveSlo.as_view(), name="slo-approve"),
    re_path(rf"{SLO_PROPOSAL}/reject$", slos.RejectSlo.as_view(), name="slo-reject"),
    re_path(rf"{SLO_PROPOSAL}/ask$", slos.AskSlo.as_view(), name="slo-ask"),
    re_path(rf"{SLO_PROPOSAL}/withdraw$", slos.WithdrawSlo.as_view(), name="slo-withdraw"),
    path("v1/alerts/watch-rules", watch_rules.WatchRules.as_view(), name="watch-rules"),
    re_path(
        r"^v1/alerts/watch-rules/(?P<pk>[0-9]{1,18})$",
        watch_rules.OneWatchRule.as_view(),
        name="watch-rule",
    ),
    path("v1/alerts", alerts.Alerts.as_view(), name="alerts"),
    path("v1/alerts/stream", alerts.Stream.as_view(), name="alerts-stream"),
    path("v1/alerts/rules", alert_plans.Rules.as_view(), name="alert-rules"),
    re_path(
        r"^v1/alerts/rules/(?P<kind>[a-z_]{1,20})$",
        alert_plans.OneRule.as_view(),
        name="alert-rule",
    ),
    path("v1/alerts/silences", alert_plans.Silences.as_view(), name="silences"),
    re_path(
        r"^v1/alerts/silences/(?P<pk>[0-9]{1,18})$",
        alert_plans.OneSilence.as_view(),
        name="silence",
    ),
    re_path(r"^v1/alerts/(?P<pk>[0-9]{1,18})$", alerts.OneAlert.as_view(), name="alert"),
    re_path(
        r"^v1/alerts/(?P<pk>[0-9]{1,18})/acknowledge$",
        alerts.Acknowledge.as_view(),
        name="alert-acknowledge",
    ),
    re_path(
        r"^v1/alerts/(?P<pk>[0-9]{1,18})/snooze$", alerts.Snooze.as_view(), name="alert-snooze"
    ),
    re_path(
        r"^v1/alerts/(?P<pk>[0-9]{1,18})/resolve$", alerts.Resolve.as_view(), name="alert-resolve"
    ),
    path("v1/prices", money.Prices.as_view(), name="prices"),
    path("v1/labels", labels.Labels.as_view(), name="labels"),
    path("v1/labels/keys", labels.LabelKeys.as_view(), name="label-keys"),
    re_path(r"^v1/labels/(?P<pk>[0-9]{1,18})$", labels.OneLabel.as_view(), name="label"),
    path("v1/exchange-rates", exchange.ExchangeRates.as_view(), name="exchange-rates"),
    path("v1/exchange-rates/used", exchange.UsedRates.as_view(), name="exchange-rates-used"),
    path("v1/prices/explained", price_terms.Explain.as_view(), name="price-explained"),
    path("v1/price-terms", price_terms.Terms.as_view(), name="price-terms"),
    path("v1/price-terms/preview", price_terms.TermPreview.as_view(), name="price-terms-preview"),
    re_path(rf"^v1/price-terms/{UID}$", price_terms.OneTerm.as_view(), name="price-term"),
    path("v1/buying-regions", price_terms.Regions.as_view(), name="buying-regions"),
    re_path(rf"^v1/buying-regions/{UID}$", price_terms.OneRegion.as_view(), name="buying-region"),
    path("v1/price-books", money.Books.as_view(), name="price-books"),
    path("v1/price-books/update", price_update.Update.as_view(), name="price-update"),
    path("v1/unpriced", price_update.Unpriced.as_view(), name="unpriced"),
    path("v1/repricings", repricing.Repricings.as_view(), name="repricings"),
    path("v1/repricings/preview", repricing.Preview.as_view(), name="repricings-preview"),
    re_path(
        r"^v1/repricings/(?P<pk>[0-9]{1,18})$", repricing.OneRepricing.as_view(), name="repricing"
    ),
    path("v1/forecasts", money.Forecasts.as_view(), name="forecasts"),
    path("v1/anomalies", money.Anomalies.as_view(), name="anomalies"),
    path("v1/saved-views", saved_views.SavedViews.as_view(), name="saved-views"),
    re_path(
        r"^v1/saved-views/(?P<pk>[0-9]{1,18})$",
        saved_views.OneSavedView.as_view(),
        name="saved-view",
    ),
    path("v1/savings", savings.Savings.as_view(), name="savings"),
    path("v1/savings/entries", savings.Entries.as_view(), name="savings-entries"),
    path(
        "v1/savings/programme-costs",
        savings.ProgrammeCosts.as_view(),
        name="programme-costs",
    ),
    path("v1/tokens", people.Tokens.as_view(), name="tokens"),
    re_path(r"^v1/tokens/(?P<pk>[0-9a-f]{12})$", people.OneToken.as_view(), name="token"),
    path("v1/slack-users", slack.SlackUsers.as_view(), name="slack-users"),
    re_path(
        r"^v1/slack-users/(?P<pk>[0-9]{1,18})$", slack.OneSlackUser.as_view(), name="slack-user"
    ),
    path("v1/audit", people.AuditLog.as_view(), name="audit"),
]
