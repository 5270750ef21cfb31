"""What people do in Slack: buttons they press, and whose user there is whose here.

Every act goes through `finops.actions.alerting`, with the same permission as on a page. Refuses
approvals: Slack knows no second person.
"""
