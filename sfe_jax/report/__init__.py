"""A page about a domain that launch/own_domain.sh trained."""
