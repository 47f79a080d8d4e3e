"""What tests of services, pages and the Hub need: a browser, a Hub on this machine, answers, exports, environments."""
