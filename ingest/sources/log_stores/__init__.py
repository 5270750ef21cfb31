"""What pulls from log stores share: `source` their windows and settings, `server` their HTTP,
`lines` what may be kept of a log line. Refuses to know any one store's API.
"""
